"""The `flowscale` program: the one package that may import all others, and only when a command needs them."""
