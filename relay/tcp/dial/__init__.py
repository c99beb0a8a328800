"""How an upstream is reached: patience and the race of its addresses."""
