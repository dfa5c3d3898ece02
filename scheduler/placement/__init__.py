"""Where a request goes: pure decisions, the same in the live scheduler and in replay.

Nothing here reads a clock, does I/O or keeps a secret state: time is an argument, and what a function may
change is the object it belongs to.
"""
