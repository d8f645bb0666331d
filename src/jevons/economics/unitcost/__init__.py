"""What a token costs to make: computation per token, from a model's architecture, times the price of computation, from the hardware's."""
