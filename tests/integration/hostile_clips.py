"""Real clips that were damaged, changed in the middle, or made with what nobody should be asked to read."""

from __future__ import annotations

import random
from functools import partial

from integration.hostile_cases import (
    BAD,
    DAMAGED,
    DONE,
    PICTURE,
    REFUSED,
    RENDERED,
    TONE,
    Cases,
    Workshop,
    cut,
    flip_bits,
)

cases = Cases("clip")

CLIPS: dict[str, tuple[str, ...]] = {
    "index behind.mp4": (),
    "index in front.mp4": ("-movflags", "+faststart"),
    "fragments.mp4": ("-movflags", "+frag_keyframe+empty_moov"),
    "plain.webm": (),
    "plain.mkv": (),
    "plain.avi": (),
}


def add_damaged(name: str, options: tuple[str, ...]) -> None:
    for percent in (10, 50, 90, 99):
        cases.add(f"{name} cut at {percent} %", BAD, partial(shortened, name=name, options=options, percent=percent))
    for seed in (1, 2):
        cases.add(f"{name} with bits turned, {seed}", DAMAGED, partial(damaged, name=name, options=options, seed=seed))


def shortened(workshop: Workshop, name: str, options: tuple[str, ...], percent: int) -> bytes:
    return cut(workshop.clip(name, *options), percent)


def damaged(workshop: Workshop, name: str, options: tuple[str, ...], seed: int) -> bytes:
    content = workshop.clip(name, *options)
    chance = random.Random(f"{name}{seed}")
    return flip_bits(content, [chance.randrange(len(content) * 8) for _ in range(4 ** (seed + 1))])


for clip, choices in CLIPS.items():
    add_damaged(clip, choices)


RARE_PICTURES = {
    "magicyuv.mkv": ("-c:v", "magicyuv", "-pix_fmt", "gbrp"),
    "magicyuv.avi": ("-c:v", "magicyuv", "-pix_fmt", "gbrp"),
    "utvideo.mkv": ("-c:v", "utvideo"),
    "snow.avi": ("-c:v", "snow", "-strict", "-2"),
    "cineform.mov": ("-c:v", "cfhd"),
    "dirac.mov": ("-c:v", "vc2", "-pix_fmt", "yuv420p"),
    "jpeg2000.mov": ("-c:v", "jpeg2000"),
    "zmbv.avi": ("-c:v", "zmbv"),
    "tiff.mov": ("-c:v", "tiff"),
    "asv1.avi": ("-c:v", "asv1"),
    "cinepak.mov": ("-c:v", "cinepak"),
}


def rare(workshop: Workshop, name: str, codec: tuple[str, ...]) -> bytes:
    return workshop.ffmpeg(name, *PICTURE, *codec, "-frames:v", "3").read_bytes()


for clip, codec in RARE_PICTURES.items():
    cases.add(f"rare codec: {clip}", BAD, partial(rare, name=clip, codec=codec))
cases.add("rare codec of sound: wma.mkv", BAD, lambda shop: shop.ffmpeg("wma.mkv", *TONE, "-c:a", "wmav2").read_bytes())


@cases.made("h264 that changes its size", RENDERED)
def changing_size(workshop: Workshop) -> bytes:
    return joined(workshop, "testsrc2=size=64x48:rate=25:duration=0.4", "testsrc2=size=320x240:rate=25:duration=0.4")


@cases.made("h264 that shrinks below what is cropped", RENDERED)
def shrinking(workshop: Workshop) -> bytes:
    return joined(
        workshop,
        "testsrc2=size=321x241:rate=25:duration=0.4,format=yuv444p",
        "testsrc2=size=64x48:rate=25:duration=0.4",
    )


@cases.made("h264 that changes its colours", RENDERED)
def changing_format(workshop: Workshop) -> bytes:
    return joined(
        workshop, "testsrc2=size=64x48:rate=25:duration=0.4", "testsrc2=size=64x48:rate=25:duration=0.4,format=yuv444p"
    )


def joined(workshop: Workshop, *sources: str) -> bytes:
    """Two pictures' streams one after the other, as one stream of a Matroska file."""
    stream = b""
    for index, source in enumerate(sources):
        coded = workshop.ffmpeg(f"{index}.h264", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast")
        stream += coded.read_bytes()
    whole = workshop.folder / f"joined-{len(stream)}.h264"
    whole.write_bytes(stream)
    return workshop.ffmpeg("joined.mkv", "-r", "25", "-f", "h264", "-i", str(whole), "-c", "copy").read_bytes()


@cases.made("sound at 768 kHz", RENDERED)
def fast_sound(workshop: Workshop) -> bytes:
    return workshop.ffmpeg("fast.mkv", *TONE, "-ar", "768000", "-c:a", "pcm_s16le", "-t", "0.2").read_bytes()


@cases.made("vp9 that says it has alpha and has none", frozenset({DONE}) | REFUSED)
def false_alpha(workshop: Workshop) -> bytes:
    return workshop.ffmpeg(
        "alpha.webm",
        *PICTURE,
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-frames:v",
        "5",
        "-metadata:s:v:0",
        "alpha_mode=1",
    ).read_bytes()
