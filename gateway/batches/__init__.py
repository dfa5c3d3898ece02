"""Batch jobs submitted over HTTP: their runner, progress and results."""
