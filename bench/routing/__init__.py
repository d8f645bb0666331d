"""Learned routes on questions that two models answered: how much of the gap is kept at how many calls, and what can be promised."""
