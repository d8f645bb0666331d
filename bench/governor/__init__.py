"""What the governor prevents and what it costs: limits under load, judged by a stand-in provider, and CPU per request (README.md says how)."""
