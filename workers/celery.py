"""Entry point of `celery -A workers`, where Celery looks for the application."""

import os

from straightline.errors import StraightLineError
from straightline.support import failpoints
from workers.celery_ext.app import create

try:
    failpoints.configure(os.environ)
    app = create(os.environ)
except StraightLineError as error:
    raise SystemExit(f"workers: {error}") from error
