"""Tokens counted, provider usage normalised, and the dated price book. Knows no accounts, no gateway, no clock."""
