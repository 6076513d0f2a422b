"""Measurements the documentation quotes; each prints the machine and exits non-zero when it falls short."""
