"""Measures imports of others' logs."""
