"""A program's TCP connection from offer to close: its handler, the copying, the watch over it."""
