"""The demo: the same small client in two equal small internets, once bare, once under keepline."""
