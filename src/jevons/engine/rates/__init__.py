"""What the local engine's operations take on this machine: matrix products by weight type and rows, attention, the small rest, whole steps."""
