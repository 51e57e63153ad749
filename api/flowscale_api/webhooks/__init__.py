"""Webhooks: who is told of a job, and who delivers."""
