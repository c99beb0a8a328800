"""Makes the namespace and starts the command in it; knows nothing of the relay."""
