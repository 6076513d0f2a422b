"""The only package that imports dagster: it names what exists and when it runs."""
