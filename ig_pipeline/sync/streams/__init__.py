"""The streams, a module each: what it is, how it is fetched and stored. `sync.registry` finds them here."""
