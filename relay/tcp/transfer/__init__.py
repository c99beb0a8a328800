"""How bytes and ends pass between a program and its upstream."""
