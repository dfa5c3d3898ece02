"""Deployment of bundles: each backend's target takes and tests a bundle before the registry records it.

A deployment that fails is rolled back, and the running versions are not touched.
"""
