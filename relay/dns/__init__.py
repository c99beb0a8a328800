"""Names: the namespace's only name server, synthetic addresses, and the host's resolvers."""
