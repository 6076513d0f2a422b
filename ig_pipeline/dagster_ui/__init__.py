"""Dagster's UI behind a gate of ours: the only package that imports `dagster_webserver`.

What Dagster serves is Dagster's; here is only who may ask it for what, and how a person signs in.
"""
