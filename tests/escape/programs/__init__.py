"""What runs inside: each function tries one way out. Standard library alone, for any Python."""
