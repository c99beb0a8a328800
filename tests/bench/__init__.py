"""The benchmark: the same load without keepline, under it and under its peers, in one run.

The modules, from the ground up: server and client make the load, each in a process of its own;
world is the link between them; variants are the ways from one to the other; measure interleaves
them; report judges and draws. compare plays the relays of two trees against each other, and
ratios judges them; stage is what both runs have beside them.
"""
