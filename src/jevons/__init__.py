"""Jevons: what a token costs to make, what you pay for it, and why the bill still grows; with the brakes."""

__version__ = "0.1.0"
