"""How an answer is taken: what of it is held, what upstream's manners are, how it is given on."""
