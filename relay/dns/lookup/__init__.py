"""How a name is looked up: the host's resolvers are asked over IPv4, and answers are cached."""
