"""The endpoints, a module per audience."""
