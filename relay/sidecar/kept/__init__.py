"""What a pod keeps on a volume: names and their addresses, and the record."""
