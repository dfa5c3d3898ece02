"""Telling a service over HTTP that its request has ended, signed as Standard Webhooks has it."""
