"""Everything that moves bytes, and the command line; netns makes the namespace."""

__version__ = "0.1.0"
