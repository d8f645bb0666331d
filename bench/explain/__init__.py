"""How long it takes to say why a bill changed, where ten million calls are on record."""
