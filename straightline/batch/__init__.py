"""Batch jobs: JSON Lines in, JSON Lines out, with bounded memory, however long the file."""
