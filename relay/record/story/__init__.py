"""The flight log as a story: what was lost, denied or given up, and what changes it. Pure.

entry.py has what a line of the story is, losses.py and failures.py find them in the events,
interrupted.py adds what a killed keepline left open, advice.py what changes each, and telling.py
writes `keepline explain` and the line at the end.
"""
