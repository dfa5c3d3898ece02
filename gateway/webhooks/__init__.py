"""Webhook calls for requests and batch jobs that have ended, signed as Standard Webhooks specifies."""
