"""What tokens cost over time, and why a bill changed: price history, indices, decomposition. Reads the ledger, never writes it."""
