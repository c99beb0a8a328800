"""The namespace's network: its links, and how its connections are caught and held."""
