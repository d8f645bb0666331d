"""Composition root: builds the parts from the configuration and runs them until a stop signal."""

from jevons.serve.process import serve

__all__ = ["serve"]
