"""The gateway's connections to the API host: dialled, verified, HTTP/2 or HTTP/1.1."""
