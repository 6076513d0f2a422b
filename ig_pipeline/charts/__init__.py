"""Rows into pictures, for terminal and page."""
