"""Names: the namespace's only name server, synthetic addresses, and lookups at the resolvers."""
