"""Faults of the kernel's calls, one at a time, in a relay that runs in this process.

    python -m tests.support.faults --list             every call that the scenarios make
    python -m tests.support.faults --only pump.py     each of them fails, with some errnos
    python -m tests.support.faults --full             with every errno of the list

`scripts/faults` runs it; tests/kernel/test_faults.py does so in CI. The modules:

    injector    which call is made where, and which one fails now
    calls       what stands in for socket.socket, os and their like, before trio is imported
    expected    the calls that the relay's source has, and why some are not made here
    world       namespaces, servers, a program's sockets, and the relay between them
    scenarios   what programs do, and what happens to the machine
    runs        a scenario with one fault in it, and whether the session has gone on
"""
