"""The benchmark: the same load without keepline, under it and under its peers, in one run.

The modules, from the ground up: server and client make the load, each in a process of its own;
world is the link between them; variants are the ways from one to the other; measure interleaves
them; report judges and draws.
"""
