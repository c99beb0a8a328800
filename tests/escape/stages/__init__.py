"""What ways need on the host, for the time of one attempt."""
