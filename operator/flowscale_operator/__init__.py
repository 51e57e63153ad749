"""The operator: numbers in, replicas out. It sizes worker Deployments by the queue, and never removes a busy worker."""
