"""The dialects: what bytes mean, and how to say a thing in them. No sockets, no clock."""
