"""A recorded hour of conversations through the park: hit rates of LRU and of what is learnt, with and without compression."""
