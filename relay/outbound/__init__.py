"""How upstream connections are made: dialled with patience, numbered, watched."""
