"""What this gateway counts of uploads, by the way they come. Only its event loop counts, so nothing is locked.

An upload counts when its file is whole, with all its bytes, on the gateway that made it whole: a resumable one may have
sent them through several. Bytes of a presigned one pass through no gateway; its size is known when it is complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from prometheus_client.core import Metric

from flowscale.errors import FlowScaleError
from flowscale.exposition import Described, Kind


class Way(StrEnum):
    FORM = "form"
    RESUMABLE = "resumable"
    PRESIGNED = "presigned"


STORED = Described("flowscale_gateway_uploads", Kind.COUNTER, "Uploads that became whole here", ("way",))
BYTES = Described("flowscale_gateway_upload_bytes", Kind.COUNTER, "Bytes of those uploads", ("way",))
REFUSED = Described(
    "flowscale_gateway_uploads_refused",
    Kind.COUNTER,
    "Requests to begin, continue or complete an upload that were answered with an error, by its code",
    ("way", "code"),
)
OPEN = Described(
    "flowscale_gateway_uploads_in_progress", Kind.GAUGE, "Requests whose upload is being received here", ("way",)
)

UPLOAD_FIGURES = (STORED, BYTES, REFUSED, OPEN)


class UploadFigures:
    """The counts of one gateway."""

    def __init__(self) -> None:
        self._stored: Counter[Way] = Counter()
        self._bytes: Counter[Way] = Counter()
        self._refused: Counter[tuple[Way, str]] = Counter()
        self._open: Counter[Way] = Counter()

    def stored(self, way: Way, size: int) -> None:
        """An upload of so many bytes is whole."""
        self._stored[way] += 1
        self._bytes[way] += size

    @contextmanager
    def asked(self, way: Way) -> Iterator[None]:
        """Around a request: an error that leaves it is its answer."""
        try:
            yield
        except FlowScaleError as error:
            self._refused[way, error.code] += 1
            raise

    @contextmanager
    def receiving(self, way: Way) -> Iterator[None]:
        """While the bytes of a request come."""
        self._open[way] += 1
        try:
            yield
        finally:
            self._open[way] -= 1

    def metrics(self) -> Iterator[Metric]:
        stored, size, refused, receiving = STORED.counter(), BYTES.counter(), REFUSED.counter(), OPEN.gauge()
        for way in Way:  # a series that is there at 0 lets rate() see the first increase
            stored.add_metric([way], self._stored[way])
            size.add_metric([way], self._bytes[way])
        for way in (Way.FORM, Way.RESUMABLE):  # no gateway sees the bytes of a presigned one
            receiving.add_metric([way], self._open[way])
        for (way, code), times in sorted(self._refused.items()):
            refused.add_metric([way, code], times)
        yield from (stored, size, refused, receiving)
