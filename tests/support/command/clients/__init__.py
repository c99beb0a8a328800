"""Small clients that fetch many answers at once, each in its own language."""
