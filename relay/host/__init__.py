"""What is true of the host: its addresses, its resolvers, changes of its network, suspends."""
