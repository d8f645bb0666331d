"""How well the blend forecasts real usage, beside AutoETS and AutoTheta: rolling origin, the same past and steps for all."""
