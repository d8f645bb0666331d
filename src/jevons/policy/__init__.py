"""Pure decisions over core values. No clock, no socket, no disk: replay calls the very same functions on recorded requests."""
