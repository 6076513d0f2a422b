"""Tests of `bot`, against a Bot API server of their own."""
