"""Code that runs inside a job, in its container or child process; it starts with `runner.py`."""
