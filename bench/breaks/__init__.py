"""The cache doctor on recorded agents: breaks planted in their requests, and none."""
