"""What an FFmpeg or ffprobe run that failed means for its job; pure, tested on real output.

The order of the rules matters: what we did to the process first, then what the system did, then what FFmpeg
said of its input. What is nobody's known fault is FFMPEG_EXIT_ERROR, which may be tried again.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from enum import StrEnum

from flowscale.errors import (
    DiskFull,
    FFmpegExit,
    InvalidMedia,
    LimitExceeded,
    OutOfMemory,
    RenderError,
    RenderTimeout,
)

MAX_QUOTE = 200
"""Characters of FFmpeg's own words in a message."""

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_NO_MEMORY = re.compile(r"Cannot allocate memory|malloc(?:ation)? .*failed|Resource temporarily unavailable")
_TOO_MANY = re.compile(r"exceeds max_streams")
_TOO_LARGE = re.compile(
    r"exceeds (?:max_pixels|specified max pixel count)|Picture size [1-9]\d*x[1-9]\d* is invalid|File too large"
)
_TRUNCATED = re.compile(
    r"partial file|File ended prematurely|moov atom not found|[Tt]runcat|Packet corrupt|: End of file"
)
_BAD_INPUT = re.compile(
    r"Invalid data found|not on whitelist|not whitelisted|could not find codec parameters|Error while decoding"
    r"|Decode error rate|does not contain any stream|Error opening input|no frames? (?:could be|was) decoded"
    r"|EBML header|no decoder|Decoder .*not found|Could not find tag|No such filter input|Invalid argument"
    r"|Too many channels|not supported|unsupported|not (?:yet )?implemented",
    re.IGNORECASE,
)
_NO_ENCODER = re.compile(r"Error while opening encoder .*width or height")
_REFUSED_CODEC = re.compile(r"Codec \(([\w.-]{1,40})\) not on whitelist")
_EMPTY_WORDS = re.compile(
    r"^(?:Conversion failed|Error marking filters as finished|Error while processing the decoded)"
)
_LEVEL = re.compile(r"^(?:\[[^\]]*\] )*\[(?:error|fatal|panic|warning)\] ")
_FOLDERS = re.compile(r"""(?:file:|(?<![^\s'"(]))/(?:[^/:'"]+/)+""")
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")


class Stopped(StrEnum):
    """Why we ended a run ourselves."""

    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    LEASE_LOST = "lease lost"
    SHUTDOWN = "shutdown"


def classify(returncode: int, stderr: Sequence[str], *, doing: str, seconds: float) -> RenderError:
    """The error of a run that ended with `returncode` (negative: by that signal) after `seconds`."""
    text = "\n".join(stderr)
    quote = _quote(stderr)
    unreadable = why_unreadable(stderr)
    if returncode == -signal.SIGXCPU:
        return RenderTimeout(f"FFmpeg used up its processor time after {seconds:.0f} s while {doing}.")
    if returncode == -signal.SIGXFSZ or "File too large" in text:
        return LimitExceeded(f"The result grew past the largest size allowed while {doing}.")
    if _DISK_FULL.search(text):
        return DiskFull(f"The worker's disk is full: FFmpeg could not write while {doing}. Free space, then retry.")
    if returncode == -signal.SIGKILL:
        return OutOfMemory(f"FFmpeg was killed while {doing}, most likely because the machine ran out of memory.")
    if _TOO_MANY.search(text) and unreadable:
        return unreadable
    if _NO_MEMORY.search(text):
        return LimitExceeded(f"The file needs more memory than one render may use while {doing}.{quote}")
    if returncode < 0:
        # A crash is the file's doing: the same file would crash the next attempt too.
        return InvalidMedia(f"FFmpeg crashed ({_signal_name(-returncode)}) while {doing}: the file is damaged.{quote}")
    if _TOO_LARGE.search(text) and unreadable:
        return unreadable
    if _NO_ENCODER.search(text):
        return LimitExceeded("The picture cannot be encoded at its size: choose another with resize.")
    if _TRUNCATED.search(text):
        return InvalidMedia(f"The file is damaged or cut short: upload it again.{quote}")
    if unreadable:
        return unreadable
    if _BAD_INPUT.search(text):
        return InvalidMedia(f"The file could not be read as video, sound or a picture.{quote}")
    return FFmpegExit(f"FFmpeg ended with code {returncode} while {doing}.{quote}")


def why_unreadable(stderr: Sequence[str]) -> RenderError | None:
    """What ffprobe, which may end well all the same, said of a stream that it could not or may not read."""
    text = "\n".join(stderr)
    if _TOO_MANY.search(text):
        return LimitExceeded("The file has more streams (pictures, sounds, subtitles, attachments) than are read.")
    if _TOO_LARGE.search(text):
        return LimitExceeded(f"The picture is larger than one render may have.{_quote(stderr, _TOO_LARGE)}")
    if refused := _REFUSED_CODEC.search(text):
        return InvalidMedia(
            f"The file is coded in {refused[1]}, which is not read here: convert it to H.264 or VP9 first."
        )
    return None


def truncation(stderr: Sequence[str]) -> InvalidMedia | None:
    """The error of a file that ffprobe could open but that ends before its own index says."""
    if _TRUNCATED.search("\n".join(stderr)):
        return InvalidMedia(f"The file is damaged or cut short: upload it again.{_quote(stderr, _TRUNCATED)}")
    return None


def clean_line(line: str, folders: Sequence[str]) -> str:
    """A line of FFmpeg's for people: without our folders, addresses and control characters."""
    for folder in folders:
        line = line.replace(f"file:{folder}/", "").replace(f"{folder}/", "")
    line = _ADDRESS.sub("", line)
    return "".join(character if character.isprintable() else " " for character in line).strip()


def _quote(stderr: Sequence[str], about: re.Pattern[str] | None = None) -> str:
    """FFmpeg's last words that say something; the last `about` a matter, where it is known."""
    lines = [clean_line(_FOLDERS.sub("", _LEVEL.sub("", line)), ()) for line in stderr]
    said = [line for line in lines if line]
    telling = [line for line in said if (about.search(line) if about else not _EMPTY_WORDS.match(line))]
    return f" FFmpeg said: {(telling or said)[-1][:MAX_QUOTE]}" if said else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
