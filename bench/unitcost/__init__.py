"""`make bench-unitcost`: what a token costs to make, predicted for models that the fit has not seen, and for the local engine."""
