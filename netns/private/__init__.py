"""The files of `--strict`: private folders, masked sockets, and kernel settings to read alone.

    covering.cover(plan)        what is private, masked and read-only
    settings.protect_proc()     for root, once /proc is the session's own
    unix_sockets.host_sockets() the host's sockets, for the plan; called outside

Loaded by a session that is strict alone.
"""
