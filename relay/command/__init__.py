"""What keepline owes the command as the process that stands in its place: start, signals, end."""
