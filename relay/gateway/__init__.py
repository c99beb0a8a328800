"""The gateway: HTTP towards the program and the API host, and answers that are asked for again."""
