"""The real command: starts it, drives programs under it, and gives back all that they did."""
