"""The only message factory: every message between components is built here, so that its properties agree."""
