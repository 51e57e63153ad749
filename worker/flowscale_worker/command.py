"""From a plan to FFmpeg's arguments, and the arguments of a probe; pure. The one place that speaks FFmpeg.

Everything here is a number we format, a name from a closed set, or a path the worker made: no client text can
be part of an argument or a filter graph. tests/golden/commands holds whole command lines. FFmpeg 5.1 to 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowscale.specs import Format
from flowscale_worker.encoders import audio_encoder, video_encoder
from flowscale_worker.filters import filter_graph, in_seconds
from flowscale_worker.plan import Clip, RenderPlan
from flowscale_worker.source import MAX_STREAMS, REPORT_ENTRIES

DEMUXERS = ("mov", "matroska", "avi", "jpeg_pipe", "png_pipe", "webp_pipe")
"""Container readers that are ever opened: none that follows references to other files or hosts."""

DECODERS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,mpeg4,msmpeg4v2,msmpeg4,mpeg1video,mpeg2video,h263,wmv1,wmv2,"
    "prores,dnxhd,mjpeg,qtrle,rawvideo,ffv1,huffyuv,png,webp,"
    "aac,aac_latm,mp3,mp3float,mp2,mp2float,opus,libopus,vorbis,flac,alac,ac3,eac3,amrnb,amrwb,adpcm_ima_wav,adpcm_ms,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_u8,pcm_alaw,pcm_mulaw"
)
"""What cameras, phones, browsers and editors write. Memory bugs live in rare decoders (MagicYUV, CVE-2026-8461)."""

SUBTITLE_DECODERS = "mov_text,subrip,srt,ass,ssa,webvtt,text,dvdsub,pgssub,dvbsub,cc_dec"
"""ffprobe opens a decoder for every stream, used or not, and gives up a film for a subtitle it may not open."""

LEAST_ALLOC = 64 * 1024**2
"""Bytes: an index of 2 million samples takes 48 MB, and streams change their size up to 4K in the middle."""

PROBE_BYTES = 20 * 1024**2
"""How much of a file FFmpeg may read to recognise its streams."""

MAX_ERROR_RATE = "0.1"
"""Share of frames that may fail to decode; a damaged file passes with scars, garbage does not."""

SEEK_MARGIN_US = 2_000
"""Seeking aims this much before the first frame: Matroska rounds times to 1 ms, and a frame just before is lost."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a run may use."""

    threads: int
    max_pixels: int
    max_output_bytes: int


def render_command(plan: RenderPlan, files: Sequence[str], output: str, allowance: Allowance) -> list[str]:
    """FFmpeg's arguments (without the program) that render `plan` from the files, in the order of its sources."""
    pictures = [(clip.picture.width, clip.picture.height) for clip in plan.clips if clip.picture]
    pixels = max(width * height for width, height in [*pictures, (plan.width or 0, plan.height or 0)])
    arguments = [*_HEAD, "-max_alloc", str(_max_alloc(pixels)), "-max_error_rate", MAX_ERROR_RATE]
    arguments += ["-filter_complex_threads", str(allowance.threads)]
    for clip in plan.clips:
        arguments += _input(clip, files[clip.source], allowance, joined=plan.joined)
    arguments += ["-filter_complex", filter_graph(plan)]
    if plan.video_codec:
        # Our graph has chosen every frame; left to itself, FFmpeg drops some of clips that are a single frame long.
        arguments += ["-map", "[picture]", "-fps_mode", "passthrough", *video_encoder(plan, allowance.threads)]
    if plan.audio_codec:
        arguments += ["-map", "[sound]", *audio_encoder(plan)]
    return [*arguments, *_output(plan, output, allowance)]


def join_command(plan: RenderPlan, parts_list: str, sound: str | None, output: str, allowance: Allowance) -> list[str]:
    """The arguments that put rendered parts (named in a file that `parts_list_text` made) and the sound together."""
    arguments = [*_HEAD, "-protocol_whitelist", "file", "-format_whitelist", f"concat,{','.join(_WHITELISTED_FORMATS)}"]
    arguments += ["-f", "concat", "-safe", "1", "-i", f"file:{parts_list}"]
    if sound:
        arguments += ["-protocol_whitelist", "file", "-i", f"file:{sound}", "-map", "0:v:0", "-map", "1:a:0"]
    return [*arguments, "-c", "copy", *_output(plan, output, allowance)]


def parts_list_text(names: Sequence[str], parts: Sequence[RenderPlan]) -> str:
    """FFmpeg's list of files to put one after another, each for exactly its length. The names are ours."""
    lines = ["ffconcat version 1.0"]
    for name, part in zip(names, parts, strict=True):
        lines += [f"file '{name}'", f"duration {in_seconds(part.length_us)}"]
    return "\n".join(lines) + "\n"


def probe_command(path: str, demuxer: str, allowance: Allowance) -> list[str]:
    """ffprobe's arguments (without the program) for the report that flowscale_worker.source reads."""
    return [
        *("-hide_banner", "-loglevel", "repeat+level+error", "-max_alloc", str(_max_alloc(allowance.max_pixels))),
        *_reading_limits(demuxer, allowance, threads=1, decoders=f"{DECODERS},{SUBTITLE_DECODERS}"),
        *("-show_entries", REPORT_ENTRIES, "-of", "compact"),
        *("-i", f"file:{path}"),
    ]


def _output(plan: RenderPlan, output: str, allowance: Allowance) -> list[str]:
    arguments = ["-map_metadata", "-1", "-map_chapters", "-1", "-sn", "-dn"]
    arguments += ["-t", in_seconds(plan.length_us), "-fs", str(allowance.max_output_bytes)]
    if plan.container is not Format.WEBM:
        arguments += ["-movflags", "+faststart"]
    return [*arguments, "-f", plan.container.value, "-n", f"file:{output}"]


def _input(clip: Clip, path: str, allowance: Allowance, *, joined: bool) -> list[str]:
    # Many inputs are open at once when clips are joined; one thread each keeps their frame pools small.
    arguments = _reading_limits(clip.info.demuxer, allowance, threads=1 if joined else allowance.threads)
    picture = clip.picture
    if picture and picture.alpha and picture.codec in ("vp8", "vp9"):
        # FFmpeg's own VP8/VP9 decoders drop the alpha plane; libvpx reads it.
        arguments += ["-c:v", "libvpx" if picture.codec == "vp8" else "libvpx-vp9"]
    if not clip.info.still:
        start = in_seconds(max(0, clip.info.origin_us + clip.start_us - SEEK_MARGIN_US))
        arguments += ["-seek_timestamp", "1", "-ss", start, "-t", in_seconds(clip.length_us)]
    return [*arguments, "-i", f"file:{path}"]


def _max_alloc(pixels: int) -> int:
    """Largest single allocation in FFmpeg, in bytes: a picture in 16-bit RGBA, and some room.

    It bounds what a file of a few bytes can claim: indexes of millions of samples, texts that unpack to 1 GB.
    """
    return max(LEAST_ALLOC, pixels * 8 + 16 * 1024**2)


def _reading_limits(demuxer: str, allowance: Allowance, *, threads: int, decoders: str = DECODERS) -> list[str]:
    if demuxer not in DEMUXERS:
        raise ValueError(f"{demuxer} is not among the demuxers that may be opened")
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", ",".join(_WHITELISTED_FORMATS)),
        *("-codec_whitelist", decoders, "-max_pixels", str(allowance.max_pixels)),
        *("-max_streams", str(MAX_STREAMS), "-probesize", str(PROBE_BYTES), "-analyzeduration", "10000000"),
        *("-threads", str(threads), "-f", demuxer),
    ]


_HEAD = (
    *("-nostdin", "-hide_banner", "-loglevel", "repeat+level+warning", "-nostats"),
    *("-progress", "pipe:1", "-stats_period", "0.5"),
)
_WHITELISTED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "jpeg_pipe", "png_pipe", "webp_pipe")
