"""Energy and carbon of recorded calls, as intervals."""
