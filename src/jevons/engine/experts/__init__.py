"""Mixtures of experts: what a token reads of such a model, which experts its router picks, and whether they divide the work by language.

The routing is read from the real library while it computes (engine/native), never computed a second time.
"""
