"""Real programs through the real network, without keepline and with it: equal results."""
