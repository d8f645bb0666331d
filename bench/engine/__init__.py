"""What stands between a client and the local model, and what that costs: `make bench-engine`."""
