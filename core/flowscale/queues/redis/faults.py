"""What is told of a fault of the queue's server: what happened, why, and what to do. Pure.

Where the server is, and which settings lead there, is for whoever runs the service; strangers get a sentence of less.

No text of the server, the network or the library is repeated, as it may hold a secret or a client's data: only known
words are looked for in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ConnectionError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from flowscale.errors import FlowScaleError, QueueFull, QueueUnavailable

AWAY = "The queue cannot be used now. Try again in a few seconds; the log of this service says why."
"""To strangers, whatever is wrong with the server."""

FULL = "The queue takes no more jobs now: its server has no room. Try again later; the log of this service says more."
"""Likewise of one that is full."""


class Demoted(ConnectionError):
    """The server is a replica: it was not the master, or is it no longer."""

    def __init__(self) -> None:
        super().__init__("the server is a replica")


_BY_WORD = {
    "DEMOTED": "is a replica, which takes no jobs; point it at the master, or wait for the failover to end",
    "MASTERDOWN": "is a replica, which takes no jobs; point it at the master, or wait for the failover to end",
    "READONLY": "is a replica, which takes no jobs; point it at the master, or wait for the failover to end",
    "LOADING": "is loading its data after a start; it answers when that is done",
    "MISCONF": "cannot save to its disk and therefore takes no jobs; make room on that disk, or look into its log",
    "NOREPLICAS": "has too few replicas in step to take jobs (min-replicas-to-write); bring them back",
    "BUSY": "is held up by a script that runs too long; look into its log, and end it with SCRIPT KILL",
    "MOVED": "is one node of a cluster and not the one that holds our keys; name the one "
    "that does, or a proxy before the cluster",
    "CLUSTERDOWN": "belongs to a cluster that is down; look at the cluster",
    "CROSSSLOT": "wants all keys of a script in one slot; FLOWSCALE_REDIS_PREFIX must be one hash tag",
    "NOPERM": "forbids our user a command or a key; allow it all commands but the dangerous ones, on all keys and "
    "channels that begin with FLOWSCALE_REDIS_PREFIX",
    "AUTH": "refused our user or password; set REDIS_USERNAME and REDIS_PASSWORD, or REDIS_URL, to what it expects",
    "CLIENTS": "has as many clients as it takes; raise its maxclients, or run fewer gateways and workers",
    "DATABASE": "has no database of this number; set REDIS_DB or the end of REDIS_URL to one that it has",
}
"""What the server is, or did, by the first word of its answer or by our word for it."""


def as_fault(error: RedisError | OSError, where: str) -> FlowScaleError:
    """The error to raise instead; `where` names the server, as `describe` does."""
    server = f"The queue's server at {where}"
    if isinstance(error, OutOfMemoryError) or _first_word(error) == "OOM":
        sentence = f"{server} is full: its memory is used up; try again later, or raise its maxmemory."
        return QueueFull(sentence, public=FULL)
    return QueueUnavailable(f"{server} {_what_it_did(error, over_tls=where.startswith('rediss'))}.", public=AWAY)


def _what_it_did(error: RedisError | OSError, *, over_tls: bool) -> str:
    word = _word_of(error)
    if word in _BY_WORD:
        return _BY_WORD[word]
    if isinstance(error, ResponseError):
        named = f" ({word})" if word else ""
        return f"refused a command{named}; is it Redis 7 or Valkey? Its log may say more"
    return _unreached(error, over_tls=over_tls)


def _word_of(error: BaseException) -> str:
    for kinds, word in _BY_KIND:
        if isinstance(error, kinds):
            return word
    text = str(error)
    if "max number of clients" in text:
        return "CLIENTS"
    if "DB index is out of range" in text or "invalid DB index" in text:
        return "DATABASE"
    return _first_word(error)


_BY_KIND: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (Demoted, "DEMOTED"),
    (BusyLoadingError, "LOADING"),
    (NoPermissionError, "NOPERM"),
    ((AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError), "AUTH"),
    (ClusterCrossSlotError, "CROSSSLOT"),
    (MovedError, "MOVED"),
)
"""Errors whose answers the library takes the first word from."""


def _first_word(error: BaseException) -> str:
    """The error code that the server's answer begins with, or nothing: whatever is no code may be a client's data."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    return code if code.isascii() and code.isupper() and code.isalpha() and len(code) <= 16 else ""


def _unreached(error: BaseException, *, over_tls: bool) -> str:
    """Why there was no answer at all, from the chain of errors beneath."""
    kinds = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
    if "SSLCertVerificationError" in kinds:
        return (
            "showed a certificate that is not trusted, or is another host's; name the host as its certificate does, "
            "and its authority in FLOWSCALE_REDIS_CA_FILE"
        )
    if "SSLError" in kinds:
        return "could not agree on TLS; is it a port for TLS? If not, use redis:// or REDIS_TLS=false"
    if "MasterNotFoundError" in kinds:
        return (
            "has no master that its sentinels know, or no sentinel answers or lets us in; look at the sentinels, and "
            "at the name of the service in REDIS_URL"
        )
    if "gaierror" in kinds:
        return "cannot be found: the name of its host is not known; set REDIS_HOST or REDIS_URL to one that is"
    if "TimeoutError" in kinds:  # Python's or the library's
        doubt = ", or its port may be none for TLS" if over_tls else ""
        return f"did not answer in time; it may be overloaded or stopped, or a network drops what is sent to it{doubt}"
    if "ConnectionRefusedError" in kinds:
        return "cannot be reached: nothing listens there; start it, or set REDIS_HOST and REDIS_PORT, or REDIS_URL"
    return "cannot be reached, or broke off; see that it runs, that the network leads there, and whether it wants TLS"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        yield here
        here = here.__cause__ or here.__context__
