"""Deploying: putting a bundle in place where it is to run, and telling everybody of it.

Each place is tried before anybody is told. What a failed deployment has put in place is taken back, and the
versions that run are not touched.
"""
