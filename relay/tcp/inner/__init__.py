"""What a program asks for within a connection, by TLS or HTTP, and whether policy allows that."""
