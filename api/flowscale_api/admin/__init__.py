"""What the people who run the service see and steer: /api/admin."""
