"""Tests in real namespaces; nothing they send reaches the real network."""
