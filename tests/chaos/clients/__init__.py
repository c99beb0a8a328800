"""Client programs that take orders: a line of JSON each way, see players.py."""
