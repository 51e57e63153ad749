"""Whether the service can work now, and what says so."""
