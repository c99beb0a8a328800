"""What `--strict` adds, but for its files: namespaces of processes, scopes, keys and terminals."""
