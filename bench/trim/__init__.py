"""What trimming tool output saves."""
