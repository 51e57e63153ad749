"""Where a job came from: the request that asked for it, and that request's place in a trace. Pure.

It is carried in the job's record, so that a worker's log lines and spans lead back to the request. The two texts of the
trace are W3C Trace Context's headers, as they are: https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

TRACESTATE_LENGTH = 512
"""Characters of a tracestate that are carried at least, says the standard; a longer one is left out."""

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(rf"[\x20-\x7e]{{1,{TRACESTATE_LENGTH}}}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Each is None where it is not known. What is none of its form counts as not known: a trace is never in the way."""

    request_id: str | None = None  # of the request that enqueued the job
    traceparent: str | None = None  # of the span that enqueued it
    tracestate: str | None = None

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits."""
        return self.traceparent.split("-")[1] if self.traceparent else None

    @classmethod
    def read(cls, request_id: str | None, traceparent: str | None, tracestate: str | None) -> Origin:
        """Of texts that anybody may have written."""
        parent = _in_form(_TRACEPARENT, traceparent)
        return cls(_in_form(_REQUEST_ID, request_id), parent, _in_form(_TRACESTATE, tracestate) if parent else None)


UNKNOWN = Origin()


def attempt_span_id(job_id: str, number: int, started_ms: int) -> int:
    """The id of the span of a job's attempt, made of what its record tells of it: any later attempt can link to it.

    An attempt that was given back and begun anew has the same number, but began at another time.
    """
    return _number_of(f"{job_id} {number} {started_ms}", 8)


def job_trace_id(job_id: str) -> int:
    """The id of the trace of a job whose request was not traced: all its attempts are in one."""
    return _number_of(job_id, 16)


def _number_of(text: str, size: int) -> int:
    """`size` bytes of a hash, as a number; never 0, which stands for none."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1


def _in_form(form: re.Pattern[str], text: str | None) -> str | None:
    return text if text is not None and form.fullmatch(text) else None
