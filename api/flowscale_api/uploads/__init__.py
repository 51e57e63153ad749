"""From the bytes of a form to a stored object."""
