"""Small models over requests: features as numbers, predictors of who answers well enough. Loaded only where something is learnt; needs numpy."""
