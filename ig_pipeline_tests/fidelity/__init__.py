"""Holds our simulator and our parsers against recordings of the real Graph API: `make fidelity RECORDINGS=<folder>`."""
