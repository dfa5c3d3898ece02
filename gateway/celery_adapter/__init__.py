"""The front door for services that use Celery: their tasks become requests, outcomes become their results."""
