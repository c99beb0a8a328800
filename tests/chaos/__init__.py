"""Plays each fault of the table to real clients, bare and under keepline: `scripts/chaos`.

- row: what a row is: its fault, client, promise and how it is played; a sample is one measurement.
- stage: the small internet of one row, with its servers and its players.
- players, clients/: the client programs and how they are told what to do.
- rows_*: the rows, by domain; rows collects them.
- plan, report, __main__: which process plays what, the table, the command line.
"""
