"""The `flowscale` program. The one place that may import all deployables, and only when a command needs them."""
