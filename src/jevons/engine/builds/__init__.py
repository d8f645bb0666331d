"""Which code computes for the local engine: the builds that there are, how they are fetched, measured and chosen, and how one is put in.

The server is always xllamacpp's. What can be exchanged is ggml's CPU back end inside it, the part that multiplies matrices.
Does not know: requests, slots, who asks.
"""
