"""The forecast of a whole bill, held against what came."""
