"""FFmpeg, the fence around it, and the scratch: what a worker renders with.

What FFmpeg must be able to do is asked of the modules that build its command lines, and then tried: a clip is made,
and rendered to each format by the worker's own pipeline.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from flowscale.clocks import SystemClock
from flowscale.errors import FFmpegUnavailable, FlowScaleError
from flowscale.settings import Settings
from flowscale.specs import Format, Quality, RenderSpec, Resize, Source
from flowscale_cli.checks import Finding, OutOfTime, Verdict, fault, folders_as_found, skipped
from flowscale_cli.screen import size_text
from flowscale_worker import ffmpeg
from flowscale_worker.command import DECODERS
from flowscale_worker.encoders import audio_encoder, video_encoder
from flowscale_worker.ffmpeg import INSTALL_ADVICE, Limits, Tools, find_tools
from flowscale_worker.kit import Kit
from flowscale_worker.pipeline import render
from flowscale_worker.plan import RenderPlan
from flowscale_worker.sample import make_sample
from flowscale_worker.scratch import Scratch

OLDEST = (5, 1)
"""`-fps_mode`, which every render uses, came with FFmpeg 5.1."""

RENDER_SECONDS = 60.0
"""For one second of a small picture."""

_QUESTION = Limits(seconds=20.0, cpu_seconds=20, memory_bytes=1024**3, file_bytes=1024**2)
"""For a program that is asked about itself."""

FENCE, SCRATCH = "tools.fence", "tools.scratch"
PROGRAMS = ("tools.ffmpeg", "tools.ffprobe")
RENDERS = tuple(f"tools.render-{form}" for form in Format)
AFTER = (FENCE, "tools.encoders", "tools.decoders")

_UPDATE = f"Update it: FFmpeg {OLDEST[0]}.{OLDEST[1]} or newer is needed. {INSTALL_ADVICE}"


def check(settings: Settings) -> Generator[Finding, None, None]:
    try:
        tools = find_tools(settings.worker.ffmpeg, settings.worker.ffprobe)
    except FFmpegUnavailable as error:
        yield fault(PROGRAMS[0], error, INSTALL_ADVICE)
        yield from skipped((PROGRAMS[1], *AFTER, SCRATCH, *RENDERS), "there is no FFmpeg to try")
        return
    found = [_version(PROGRAMS[0], tools.ffmpeg, tools), _version(PROGRAMS[1], tools.ffprobe, tools)]
    yield from found
    if any(each.verdict is Verdict.FAIL for each in found):
        yield from skipped((*AFTER, SCRATCH, *RENDERS), "FFmpeg cannot be used")
        return
    fence = _fence()
    yield fence
    yield _encoders(tools)
    yield _decoders(tools)
    if fence.verdict is Verdict.FAIL:
        yield from skipped((SCRATCH, *RENDERS), f"{FENCE} failed")
        return
    yield from _renders(settings, tools)


def _ask(program: str, *arguments: str) -> tuple[str, ...]:
    """What a program answers, run as renders are. Raises FFmpegSpawn, FFmpegUnavailable."""
    lines: list[str] = []
    ended = ffmpeg.run(
        program, arguments, _QUESTION, clock=SystemClock(), on_line=lines.append, should_stop=lambda: None
    )
    if ended.returncode != 0:
        said = f": {ended.stderr[-1]}" if ended.stderr else ""
        raise FFmpegUnavailable(f"{program} ended with {ended.returncode}{said}. {INSTALL_ADVICE}")
    return tuple(lines)


def _version(name: str, program: str, tools: Tools) -> Finding:
    try:
        first = next(iter(_ask(program, "-version")), "")
    except FlowScaleError as error:
        return fault(name, error, INSTALL_ADVICE)
    words = first.split()
    version = words[2] if len(words) > 2 and words[1] == "version" else "unknown"
    seen = f"{version} at {program}"
    number = re.match(r"n?(\d+)\.(\d+)", version)
    if number is None:
        advice = f"It does not say which release it is; {OLDEST[0]}.{OLDEST[1]} or newer is needed. The renders below "
        return Finding(name, Verdict.WARN, seen, f"{advice}say whether it will do.")
    if (int(number[1]), int(number[2])) < OLDEST:
        return Finding(name, Verdict.FAIL, seen, _UPDATE)
    if program == tools.ffprobe and version != tools.version:
        advice = "ffmpeg and ffprobe are of two releases: set FLOWSCALE_FFMPEG and FLOWSCALE_FFPROBE to one's."
        return Finding(name, Verdict.WARN, seen, advice)
    return Finding(name, Verdict.OK, seen)


def _fence() -> Finding:
    """Look at the fence from within (ADR 0004)."""
    try:
        network, *status = _ask("/bin/sh", "-c", "readlink /proc/self/ns/net; cat /proc/self/status")
    except FlowScaleError as error:
        return fault(FENCE, error, "Install util-linux (Debian, Ubuntu: sudo apt-get install util-linux).")
    if not any(line.split() == ["NoNewPrivs:", "1"] for line in status):
        advice = "See that unshare, setpriv and prlimit are those of util-linux."
        return Finding(FENCE, Verdict.FAIL, "what runs in the fence may gain privileges", advice)
    if network == os.readlink("/proc/self/ns/net"):
        return Finding(
            FENCE,
            Verdict.WARN,
            "limits and no new privileges, but no network namespace",
            "FFmpeg is held back by its protocol list alone. Allow unprivileged user namespaces (sysctl "
            "kernel.unprivileged_userns_clone=1 or user.max_user_namespaces, AppArmor's restriction of them on "
            "Ubuntu, a container's seccomp profile).",
        )
    return Finding(FENCE, Verdict.OK, "no network, limits, no new privileges")


def encoders_used() -> tuple[str, ...]:
    """FFmpeg's names of all encoders that a render may ask for."""
    plans = [_plan(form, quality) for form in Format for quality in Quality]
    arguments = [[*video_encoder(plan, 1), *audio_encoder(plan)] for plan in plans]
    return tuple(
        sorted({words[at + 1] for words in arguments for at, word in enumerate(words) if word in ("-c:v", "-c:a")})
    )


def _plan(form: Format, quality: Quality) -> RenderPlan:
    return RenderPlan(
        clips=(),
        width=320,
        height=180,
        frame_rate=Fraction(25),
        pixel_format="yuv420p",
        sound_rate=48_000,
        channels=2,
        volume=1.0,
        fade_in_us=0,
        fade_out_us=0,
        length_us=1_000_000,
        container=form,
        quality=quality,
        says_matrix=False,
        joined=False,
    )


def _encoders(tools: Tools) -> Finding:
    name = "tools.encoders"
    used = encoders_used()
    try:
        there = {coder for coder, _codec in _listed(_ask(tools.ffmpeg, "-hide_banner", "-encoders"))}
    except FlowScaleError as error:
        return fault(name, error, INSTALL_ADVICE)
    if missing := [each for each in used if each not in there]:
        return Finding(
            name,
            Verdict.FAIL,
            f"missing: {', '.join(missing)}",
            "This FFmpeg was built without them. Install one that has them (Debian's and Ubuntu's do), or set "
            "FLOWSCALE_FFMPEG and FLOWSCALE_FFPROBE to one.",
        )
    return Finding(name, Verdict.OK, ", ".join(used))


def _decoders(tools: Tools) -> Finding:
    """Of those that may be opened. Some formats have two (libdav1d is one of AV1's): one is enough."""
    name = "tools.decoders"
    allowed = DECODERS.split(",")
    try:
        listed = _listed(_ask(tools.ffmpeg, "-hide_banner", "-decoders"))
    except FlowScaleError as error:
        return fault(name, error, INSTALL_ADVICE)
    there = {decoder for decoder, _codec in listed if decoder in allowed}
    codecs = {codec for decoder, codec in listed if decoder in allowed}
    missing = [each for each in allowed if each not in there and each not in codecs and not each.startswith("lib")]
    if missing:
        advice = "Sources of these kinds will be refused. An FFmpeg with all of its own decoders has them."
        return Finding(name, Verdict.WARN, f"{len(there)} of {len(allowed)}; missing: {', '.join(missing)}", advice)
    return Finding(name, Verdict.OK, f"{len(there)} of the {len(allowed)} that may be opened")


def _listed(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Each coder of FFmpeg's list, and the codec it is for."""
    found = []
    for line in lines:
        if words := re.match(r" [VAS][A-Z.]{5} (\S+) +(.*)", line):
            codec = re.search(r"\(codec (\S+)\)", words[2])
            found.append((words[1], codec[1] if codec else words[1]))
    return found


def _renders(settings: Settings, tools: Tools) -> Iterator[Finding]:
    try:
        with folders_as_found(settings.scratch_dir):
            yield from _renders_in(settings, tools)
    except (OSError, FlowScaleError, OutOfTime) as error:
        said = error.message if isinstance(error, FlowScaleError) else getattr(error, "strerror", None) or "it hangs"
        yield Finding(
            SCRATCH,
            Verdict.FAIL,
            f"{settings.scratch_dir.absolute()} cannot be used: {said}",
            "Make it writable for this user, or set FLOWSCALE_SCRATCH_DIR to a folder on a disk of this machine.",
        )
        yield from skipped(RENDERS, f"{SCRATCH} failed")


def _renders_in(settings: Settings, tools: Tools) -> Iterator[Finding]:
    scratch = Scratch(settings.scratch_dir)
    try:
        with scratch.folder("doctor") as folder:
            yield _room(settings)
            try:
                sample = make_sample(tools, folder / "sample.mp4", seconds=1)
            except FlowScaleError as error:
                yield fault(RENDERS[0], error, INSTALL_ADVICE)
                yield from skipped(RENDERS[1:], "no clip could be made to try it with")
                return
            for name, form in zip(RENDERS, Format, strict=True):
                (made := folder / form.value).mkdir()
                yield _render(name, form, sample, made, settings, tools)
    finally:
        scratch.close()


def _room(settings: Settings) -> Finding:
    root = settings.scratch_dir.absolute()
    free = shutil.disk_usage(root).free
    needed = settings.worker.concurrency * (settings.worker.max_output_bytes + settings.worker.max_download_bytes)
    seen = f"{root}, {size_text(free)} free"
    if free < needed:
        advice = (
            f"{settings.worker.concurrency} renders at once may need {size_text(needed)}: free space, name another "
            "folder (FLOWSCALE_SCRATCH_DIR), or lower FLOWSCALE_MAX_OUTPUT_BYTES and FLOWSCALE_MAX_DOWNLOAD_BYTES."
        )
        return Finding(SCRATCH, Verdict.WARN, seen, advice)
    return Finding(SCRATCH, Verdict.OK, seen)


def _render(name: str, form: Format, sample: Path, folder: Path, settings: Settings, tools: Tools) -> Finding:
    clock = SystemClock()
    worker = settings.worker.model_copy(update={"render_timeout_seconds": RENDER_SECONDS})
    kit = Kit(tools, worker, clock, lambda: None, lambda _percent, _lines=(): None)
    spec = RenderSpec(sources=(Source(key=sample.name),), resize=Resize(width=320, height=180), format=form)
    begun = clock.monotonic()
    try:
        rendered = render(spec, [sample], folder, kit)
    except FlowScaleError as error:
        return fault(name, error, INSTALL_ADVICE)
    codecs = f"{rendered.plan.video_codec}, {rendered.plan.audio_codec}"
    took = f"{clock.monotonic() - begun:.1f} s for {rendered.duration_ms / 1000:.1f} s"
    return Finding(name, Verdict.OK, f"{codecs}, {size_text(rendered.size)}, {took}")
