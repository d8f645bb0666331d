"""Others' logs and exports become entries of the ledger: usage, costs and names, never text."""
