"""Batch jobs that were handed in over HTTP: their runner, and what is told of their lines."""
