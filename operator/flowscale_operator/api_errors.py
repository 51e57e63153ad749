"""What the Kubernetes API answers when it does not do what it was asked, as far as callers act differently on it.

ApiError
├── ApiUnavailable   no answer, or none that decides (5xx, 429): it can be asked again later
├── Missing          404: no such object, or no such kind of object
├── Conflict         409: the object is no longer what the request said it was, or exists already
├── Expired          410: a watch must begin anew with a list
└── Refused          any other 4xx: asking again does not help until a person mends something
"""

from __future__ import annotations


class ApiError(Exception):
    """`status` is HTTP's, 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class ApiUnavailable(ApiError):
    """`carried_out` is False when the request was certainly not carried out, None when nobody knows."""

    def __init__(self, message: str, status: int = 0, *, carried_out: bool | None = None) -> None:
        super().__init__(message, status)
        self.carried_out = carried_out

    @property
    def ended(self) -> bool:
        """Whether the server is done with the request, so that a look tells whether it was carried out: its own 500, as
        when it cannot ask a webhook. Others may be a proxy's, or a server's that gave up waiting for its store."""
        return self.status == 500


class Missing(ApiError):
    pass


class Conflict(ApiError):
    pass


class Expired(ApiError):
    pass


class Refused(ApiError):
    pass


def answer_error(status: int, method: str, path: str, message: str) -> ApiError:
    """The error for an answer of 400 or more. 429 comes from the server's own queue, before it does anything."""
    text = f"The API server answered {status} to {method} {path}: {message}"
    if status == 429:
        return ApiUnavailable(text, status, carried_out=False)
    if status >= 500:
        return ApiUnavailable(text, status)
    kinds: dict[int, type[ApiError]] = {404: Missing, 409: Conflict, 410: Expired}
    return kinds.get(status, Refused)(text, status)
