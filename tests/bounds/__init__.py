"""What floods cost the relay: each is made by a real program, server or zone, and has its bounds.

`scripts/bounds --write` writes docs/bounds.md, `scripts/bounds --check` sees that every bound holds
and that the page has the rows and bounds that stand in `rows/`.
"""
