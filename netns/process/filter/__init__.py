"""The filter of system calls that the command and all that it starts live under, seccomp(2)."""
