"""Why another host was not reached; whoever asked makes an error of its own of it. Pure."""

from __future__ import annotations


class OutboundError(Exception):
    """`message` is for people; of a URL it names the host and nothing else."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Refused(OutboundError):
    """It is not to be connected to, or is no web server: the same again would be as vain."""


class Unreachable(OutboundError):
    """It did not answer, or not in time: another time it may."""
