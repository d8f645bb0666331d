"""The second turn of a long conversation: computed again, kept in its slot, or parked: `make bench-park`."""
