"""What the gateway, the worker and the operator agree on: jobs, specs, errors, settings, queues, storage."""

__version__ = "0.1.0"
