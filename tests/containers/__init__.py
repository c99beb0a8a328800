"""keepline inside real containers: podman, podman as an ordinary user, and Docker.

place.py     a place of its own, in which engines run and the machine sees nothing of them
engines.py   the engines, as they are started there
rows.py      what is tried, in which container
playing.py   one row, played
report.py    docs/containers.md
profile.py   packaging/seccomp.json
"""
