"""What happened in a session: typed events, their file, and how people read them."""
