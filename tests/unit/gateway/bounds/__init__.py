"""What an upstream may cost."""
