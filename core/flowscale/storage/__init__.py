"""Where uploads and outputs live: the protocol and its backends."""
