"""Faults of the kernel's calls, one at a time, in a relay that runs in this process.

    scripts/faults --list             every call that the scenarios make
    scripts/faults                    each of them fails, with each errno: some minutes
    scripts/faults --only pump.py     those of one file

tests/kernel/test_faults.py has CI do it. The modules:

    injector    which call is made where, and which one fails now
    calls       what stands in for socket.socket, os and their like, before trio is imported
    expected    the calls that the relay's source has, and why some are not made here
    world       namespaces, servers, and a program's sockets
    session     the relay, a program before it, and the machine below
    scenarios   what programs do, and what happens to the machine
    sessions    a whole session, to its exit status
    runs        a scenario with one fault in it, and whether the session has gone on
    worker      one process's share of them; report: all of it
"""
