"""Uploads that take more than one request: what is known of each, wherever its next request arrives."""
