"""Reliability: a gateway before two providers, of which one goes wrong."""
