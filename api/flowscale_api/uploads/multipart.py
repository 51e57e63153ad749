"""The upload form, as a state machine: bytes in, events out, nothing kept but a bounded rest; no I/O.

The framing is python-multipart's; what a form may hold is decided here. So is how much of it may look like framing:
the parser searches for its boundary at the speed of memory, but goes byte by byte over what follows one, a hundred
times slower. A form has few boundaries, so many are refused, before the parser sees them.

`file` is the one field whose bytes come out, as they arrive. Other fields are text, small and few. A form that ends
early never ends well: `close` tells a complete form from one whose sender went away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from flowscale.errors import NoFile, UploadError

FILE_FIELD = "file"

MAX_PARTS = 20
"""Parts of one form; the contract's frontend sends two."""

MAX_TEXT_BYTES = 8 * 1024
"""Bytes of one text field; the longest that means anything (projectId) has 200 characters."""

MAX_PART_HEADERS = 8
MAX_HEADER_BYTES = 4 * 1024
MAX_BOUNDARY = 70  # RFC 2046, 5.1.1

MAX_DELIMITERS = 100
"""Times the boundary may stand at the beginning of a line. RFC 2046 forbids it to a file, but a file that holds it by
chance, with something else behind it, is taken as what it is."""

MAX_PADDING = 256
"""Blanks between a boundary and the end of its line; no client known to us sends any."""

FORM_OVERHEAD = 64 * 1024
"""Bytes a form may have beside its file's: boundaries, part headers, text fields."""


@dataclass(frozen=True, slots=True)
class FileBegins:
    """The part `file` begins; the client called it `name`, which may be empty."""

    name: str


@dataclass(frozen=True, slots=True)
class FileData:
    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnds:
    pass


@dataclass(frozen=True, slots=True)
class TextField:
    name: str
    value: str


Event = FileBegins | FileData | FileEnds | TextField


def boundary_of(content_type: str | None) -> bytes:
    """The boundary in a Content-Type header. Raises UploadError when it is not multipart, or names none."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UploadError("An upload is sent as multipart/form-data, with the file in the field `file`.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise UploadError(f"The Content-Type of an upload names a boundary of 1 to {MAX_BOUNDARY} characters.")
    return boundary


class UploadForm:
    """Feed it the body in pieces of any size; events come in the form's order, in the same order for any pieces."""

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
                "on_end": self._form_ends,
            },
            max_header_count=MAX_PART_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        self._excess = _Excess(boundary)
        self._events: list[Event] = []
        self._parts = 0
        self._files = 0
        self._foreign_file: str | None = None  # a field other than `file` that holds one
        self._complete = False
        self._header = (bytearray(), bytearray())  # name, value of the header being read
        self._disposition: bytes | None = None
        self._field = ""
        self._is_file = False
        self._is_foreign = False
        self._text = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """The events these bytes complete. Raises UploadError for a form that is broken or beyond the limits,
        NoFile for one with a large file in another field than `file`."""
        self._excess.look_at(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UploadError(f"The multipart form cannot be read: {error}.") from error
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """The body has ended. Raises UploadError when the form has not, NoFile when it had no file."""
        if not self._complete:
            raise UploadError("The multipart form ends before its closing boundary: it was cut short on its way.")
        if not self._files:
            raise self._no_file()

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise UploadError(f"The form has more than {MAX_PARTS} parts.")
        self._header = (bytearray(), bytearray())
        self._disposition = None
        self._text = bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_ends(self) -> None:
        name, value = self._header
        self._header = (bytearray(), bytearray())
        if name.lower() == b"content-disposition":
            if self._disposition is not None:
                raise UploadError("A part of the form has two Content-Disposition headers.")
            self._disposition = bytes(value)

    def _headers_end(self) -> None:
        kind, options = parse_options_header((self._disposition or b"").decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise UploadError("A part of the form has no Content-Disposition header that names its field.")
        self._field = options[b"name"].decode("utf-8", "replace")
        self._is_file = self._field == FILE_FIELD
        self._is_foreign = not self._is_file and b"filename" in options
        if self._is_file:
            self._files += 1
            if self._files > 1:
                raise UploadError("The form holds two files; send one upload for each.")
            self._events.append(FileBegins(options.get(b"filename", b"").decode("utf-8", "replace")))
        elif self._is_foreign:
            self._foreign_file = self._field

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._events.append(FileData(data[start:end]))
            return
        self._text.extend(data[start:end])
        if len(self._text) > MAX_TEXT_BYTES:
            if self._is_foreign and not self._files:
                raise self._no_file()
            raise UploadError(f"The field {self._field[:60]!r} has more than {MAX_TEXT_BYTES} bytes.")

    def _part_ends(self) -> None:
        if self._is_file:
            self._events.append(FileEnds())
        elif not self._is_foreign:
            self._events.append(TextField(self._field, self._text.decode("utf-8", "replace")))

    def _form_ends(self) -> None:
        self._complete = True

    def _no_file(self) -> NoFile:
        if self._foreign_file is not None:
            return NoFile(
                f"The form's file is in the field {self._foreign_file[:60]!r}; it must be in the field 'file'."
            )
        return NoFile("The form has no file: send one in the field 'file'.")


class _Excess:
    """Refuses forms that would keep the parser busy, wherever their pieces are cut. Both searches are the library's
    in C; the second is made only where a boundary stands."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._padded = re.compile(re.escape(self._delimiter) + rb"[ \t]{%d}" % (MAX_PADDING + 1))
        self._kept = len(self._delimiter) + MAX_PADDING  # one byte short of what the longer search looks for
        self._before = b""  # the last bytes of what was looked at
        self._delimiters = 0

    def look_at(self, data: bytes) -> None:
        """Raises UploadError when these bytes bring too much."""
        across = len(self._delimiter) - 1
        found = data.count(self._delimiter)
        found += (self._before[-across:] + data[:across]).count(self._delimiter)
        self._delimiters += found
        if self._delimiters > MAX_DELIMITERS:
            raise UploadError(
                f"The form's boundary stands at the beginning of more than {MAX_DELIMITERS} lines: the form has too "
                "many parts, or its file holds the boundary. Send the file alone, with a boundary it does not hold."
            )
        if (found or self._delimiter in self._before) and self._padded.search(self._before + data):
            raise UploadError(f"A boundary of the form has more than {MAX_PADDING} blanks behind it; send none.")
        self._before = (data if len(data) >= self._kept else self._before + data)[-self._kept :]
