"""Unit tests do no I/O, flow tests use memory streams, kernel tests real namespaces."""
