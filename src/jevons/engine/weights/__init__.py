"""Weights of the local model: which files there are, smaller ones made of them, and which is the cheapest that is good enough.

`catalogue` keeps what the operator added, `contents` says what a file holds, `quantise` makes smaller ones, `traffic` brings the texts,
`measure` runs `probe` once per candidate in a process of its own, `statistics` bounds what was measured, `choose` decides.
Does not know: the command line, the ledger, prices.
"""
