"""How many recorded requests a second are decided again, on one core."""
