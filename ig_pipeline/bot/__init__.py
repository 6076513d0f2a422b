"""Telegram: the same backfills as the command line's, asked for from a chat."""
