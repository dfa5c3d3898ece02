"""Adapter for Celery producers: tasks become requests, and outcomes become task results."""
