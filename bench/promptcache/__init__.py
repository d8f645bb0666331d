"""Dollars of every way to use a provider's prompt cache, on recorded requests, and the bill of one who knows the future."""
