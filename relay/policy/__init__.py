"""Which destinations may be reached."""
