"""What doctor has found of one thing, for people and for programs; pure."""

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One thing, tried."""

    name: str
    works: bool
    needed: bool = True
    """Whether `run` fails without it."""
    detail: str = ""
    fix: str = ""
    is_open: bool = False
    """Whether it names what a level leaves open, and nothing was tried."""


def rendered(check: Check) -> str:
    """Write a check for people."""
    mark = (
        "open  "
        if check.is_open
        else "works "
        if check.works
        else "FAILS "
        if check.needed
        else "lacks "
    )
    detail = f": {check.detail}" if check.detail else ""
    fix = "" if check.works else f"\n        try: {check.fix}"
    return f"{mark}  {check.name}{detail}{fix}"


def as_json(checks: list[Check]) -> str:
    """Write the checks for programs."""
    return msgspec.json.format(msgspec.json.encode(checks)).decode()
