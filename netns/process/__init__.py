"""The process that becomes the command: its ids, capabilities, environment and descriptors."""
