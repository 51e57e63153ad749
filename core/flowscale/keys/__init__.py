"""Who may: API keys, login sessions, whose files are whose, and how often somebody failed. See base.py."""
