"""Batch jobs: JSON Lines in, JSON Lines out, with memory that does not grow with the file."""
