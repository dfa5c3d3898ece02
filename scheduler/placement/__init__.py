"""Placement policies and their measurements, the same in the live scheduler and in replay."""
