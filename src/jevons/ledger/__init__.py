"""Accounts, holds and entries on disk: durable before visible, rebuilt at start, one writer."""
