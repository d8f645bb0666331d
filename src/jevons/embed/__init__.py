"""Texts as vectors: the small embedder. Loaded only where something is compared by meaning."""
