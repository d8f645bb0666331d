"""Texts as vectors: the small embedder. Loaded only where something is compared by meaning."""

from jevons.embed.static import Embedder, MissingEmbedderError, missing

__all__ = ["Embedder", "MissingEmbedderError", "missing"]
