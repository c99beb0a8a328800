"""Ports of the host that are open by themselves: what was written down before the command started.

A program's own files, a project's among them, open none.
"""
