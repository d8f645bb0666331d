"""Values and arithmetic. No I/O, no clock, no randomness: everything here can be replayed."""
