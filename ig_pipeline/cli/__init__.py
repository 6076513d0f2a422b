"""The command line: thin. Parses, calls the engine, prints; no rule of the domain lives here."""
