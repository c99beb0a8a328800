"""The program's side of the gateway: TLS, HTTP/1.1."""
