"""What fewer bits per weight cost a task: `make bench-weights`."""
