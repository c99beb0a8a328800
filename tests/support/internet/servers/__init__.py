"""Servers of the small internet: each is a function for one connection, for trio's nurseries."""
