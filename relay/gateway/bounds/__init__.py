"""What an upstream may cost: what carries nothing of an answer, and what is held; pure."""
