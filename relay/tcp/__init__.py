"""TCP connections: one from accept to close, the dial, the copy and the socket options."""
