"""How a name is looked up: the host's resolvers, asked over IPv4, and what is remembered."""
