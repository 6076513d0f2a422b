"""A small Instagram: a seeded world, the Graph API's answers over it, and a server."""
