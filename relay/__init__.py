"""Everything that moves bytes, and the command line; knows the namespace only in session.py."""

__version__ = "0.1.0"
