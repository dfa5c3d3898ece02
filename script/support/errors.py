"""Error of the commands in `script/`."""


class StackError(Exception):
    """A step of a command failed; the message names the step, the reason and the remedy."""
