"""What is served by similarity, and how much of it is wrong, in arrival order."""
