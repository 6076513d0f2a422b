"""Mirrors `ig_pipeline`: tests are sentences, on real databases and real sockets."""
