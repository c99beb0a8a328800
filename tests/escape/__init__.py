"""The ways out of the sandbox, each tried by a program inside, at each level, by each caller.

- row: what a row is: the way, the program that tries it, who sees whether it got out, and what is
  expected at each level. An expectation that is not met, in either direction, fails the run.
- levels: the levels, by name. `nothing` is the control: the program without keepline gets out.
- arena: the network, the servers and the files of the host, in namespaces of their own.
- attempts: one way, tried once. witnesses: who sees it, always outside. stages: what a way needs.
- programs/: what runs inside. rows/: all rows.
- worker, plan, report, __main__: as in tests/same.
"""
