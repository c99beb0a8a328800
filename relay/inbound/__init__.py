"""How connections come in: offers, which can be accepted or refused."""
