"""Telling others that a job has ended, as Standard Webhooks (standardwebhooks.com) says: docs/webhooks.md.

deliveries.py what is to be delivered; payload.py the body; signing.py its signatures; retrying.py when to try again;
sending.py one try. The facts lie in the queue (queues/outbox.py); the gateways deliver them.
"""
