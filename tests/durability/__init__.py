"""What survives: every attempt has one entry, whoever dies when (kill -9, a full disk, a client that leaves, a stop signal)."""
