"""Everyday tasks: a small model, a large one, and a cascade of both."""
