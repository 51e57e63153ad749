"""The queue: what gateways ask of it, what workers ask of it, and the backends that answer."""
