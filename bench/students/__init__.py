"""Students in the place of a large model: three tasks, a real gateway, rivals, and what goes wrong."""
