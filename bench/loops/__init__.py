"""The loop detector on recorded agents: false alarms, and loops planted in them."""
