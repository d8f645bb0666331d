"""What a hit of the answer cache takes at a million answers: time and memory."""
