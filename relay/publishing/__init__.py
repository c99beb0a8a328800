"""Servers inside, reached from the host."""
