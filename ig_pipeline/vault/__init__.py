"""Tokens at rest and their renewal: a key ring, and the one place that hands out a usable token."""
