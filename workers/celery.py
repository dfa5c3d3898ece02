"""Entry point of `celery -A workers`: Celery looks for the application here."""

import os

from straightline import crash
from straightline.errors import StraightLineError
from workers.app import create

try:
    crash.arm(os.environ)
    app = create(os.environ)
except StraightLineError as error:
    raise SystemExit(f"workers: {error}") from error
