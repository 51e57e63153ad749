"""Who types the command: for the audit's lines."""

from __future__ import annotations

import getpass


def user_name() -> str:
    """Of the user whose process this is. Containers run as users that have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
