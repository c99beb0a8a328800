"""Runs programs bare and under keepline in one situation, side by side: `scripts/same`.

What works bare is to work the same under keepline. A row is a situation of the network, a program
of people and what became of it in both ways: exit status, what it said, and when.

- row: what a row is, what an outcome is, and which verdict they give.
- networks/: the networks, made of the small internet in tests.support.internet.
- programs, clients/: the programs, and those of our own that ask the kernel for one thing each.
- rows/: the rows, by domain.
- worker: plays rows, as an ordinary user or as root; plan has both play side by side.
- report, __main__: docs/same.md, and the command line.
"""
