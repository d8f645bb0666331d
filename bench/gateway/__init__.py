"""What the gateway costs per request and adds in time, measured against a stand-in provider on 127.0.0.1 (README.md says how)."""
