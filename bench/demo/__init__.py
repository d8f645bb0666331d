"""The excerpts of recorded traffic that `jevons demo` plays."""
