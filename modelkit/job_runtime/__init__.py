"""What runs inside of a job, in its container or child process; `runner.py` is its first code."""
