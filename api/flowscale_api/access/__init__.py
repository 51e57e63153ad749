"""Who may do what. rules.py is where a route says it; gate.py finds out who asks; owned.py whose things are whose."""
