"""The machine as its kernel tells of it, and as it is where something is lacking."""
