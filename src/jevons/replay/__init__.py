"""Recorded requests through the same decisions, under another policy: what would it have cost?"""
