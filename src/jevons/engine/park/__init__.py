"""Conversations that hold no slot of the engine: their KV states, in RAM and, if the operator opts in, encrypted on disk."""
