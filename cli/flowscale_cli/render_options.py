"""From the options of `flowscale render` to the request a client would send: one validation for both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from flowscale.errors import InvalidOptions
from flowscale.specs import ExecuteRequest, Fit, Format, Quality
from flowscale.validation import parse

LATEST = 24 * 3600.0
"""`--start` without `--end`: to the end of any source that is accepted."""


def read_options(
    output: Path,
    *,
    start: float,
    end: float | None,
    speed: float,
    size: str | None,
    fit: Fit,
    quality: Quality,
    format: Format | None,
    volume: float,
    fade_in: float,
    fade_out: float,
    mute: bool,
) -> dict[str, Any]:
    """The execute request without its source. Raises InvalidOptions."""
    named = output.suffix.lower().removeprefix(".")
    if format is not None and named in set(Format) and named != format:
        raise InvalidOptions(f"The result would be {format} under the name {output.name}: change --format or the name.")
    request: dict[str, Any] = {"quality": quality, "format": format or _format_of(output)}
    if start or end is not None:
        request["trim"] = {"start": start, "end": LATEST if end is None else end}
    if speed != 1:
        request["speed"] = speed
    if size is not None:
        request["resize"] = {**_size(size), "fit": fit}
    audio = {"volume": volume, "fadeIn": fade_in, "fadeOut": fade_out, "mute": mute}
    request["audio"] = audio
    parse(ExecuteRequest, json.dumps(request).encode())
    return request


def _size(text: str) -> dict[str, int]:
    if not (found := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)):
        raise InvalidOptions(f"--size must be WIDTHxHEIGHT in pixels, such as 1280x720 (it is {text!r}).")
    return {"width": int(found[1]), "height": int(found[2])}


def _format_of(output: Path) -> Format:
    extension = output.suffix.lower().removeprefix(".")
    try:
        return Format(extension)
    except ValueError as error:
        raise InvalidOptions(
            f"The result's name must end in .mp4, .webm or .mov, or give --format (it is {output.name!r})."
        ) from error
