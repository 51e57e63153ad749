"""From a plan to FFmpeg's arguments, and the arguments of a probe; pure. The one place that speaks FFmpeg.

Everything here is a number we format, a name from a closed set, or a path the worker made: no client text can
be part of an argument or a filter graph. tests/golden/commands holds whole command lines. FFmpeg 5.1 to 8.

Order within a chain: time first (setpts, fps), then picture (scale, crop, pad). Without a constant rate after
setpts, FFmpeg adds one or two frames; choosing frames before scaling spares the work on those that go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowscale.specs import Format, Quality
from flowscale_worker.plan import Clip, Geometry, RenderPlan
from flowscale_worker.source import REPORT_ENTRIES, Picture

DEMUXERS = ("mov", "matroska", "avi", "jpeg_pipe", "png_pipe", "webp_pipe")
"""Container readers that are ever opened: none that follows references to other files or hosts."""

DECODERS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,mpeg4,msmpeg4v2,msmpeg4v3,mpeg1video,mpeg2video,h263,wmv1,wmv2,"
    "prores,dnxhd,mjpeg,qtrle,rawvideo,ffv1,huffyuv,png,webp,"
    "aac,aac_latm,mp3,mp3float,mp2,mp2float,opus,libopus,vorbis,flac,alac,ac3,eac3,amrnb,amrwb,adpcm_ima_wav,adpcm_ms,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_u8,pcm_alaw,pcm_mulaw"
)
"""What cameras, phones, browsers and editors write. Memory bugs live in rare decoders (MagicYUV, CVE-2026-8461)."""

MAX_STREAMS = 16

MAX_ALLOC = 1024**3
"""Largest single allocation in FFmpeg, in bytes: one 8K frame in 16 bit is 265 MB."""

PROBE_BYTES = 20 * 1024**2
"""How much of a file FFmpeg may read to recognise its streams."""

MAX_ERROR_RATE = "0.1"
"""Share of frames that may fail to decode; a damaged file passes with scars, garbage does not."""

X264 = {
    Quality.LOW: ("veryfast", ("-crf", "28")),
    Quality.MEDIUM: ("fast", ("-crf", "23")),
    Quality.HIGH: ("medium", ("-crf", "18")),
    Quality.LOSSLESS: ("veryfast", ("-qp", "0")),  # not CRF 0, which is lossy above 8 bits
}
VP9 = {
    Quality.LOW: ("6", ("-crf", "38")),
    Quality.MEDIUM: ("5", ("-crf", "32")),
    Quality.HIGH: ("4", ("-crf", "24")),
    Quality.LOSSLESS: ("5", ("-lossless", "1")),
}
SEEK_MARGIN_US = 2_000
"""Seeking aims this much before the first frame: Matroska rounds times to 1 ms, and a frame just before is lost."""

SOUND_KBITS = {Quality.LOW: 96, Quality.MEDIUM: 128, Quality.HIGH: 192, Quality.LOSSLESS: 320}
"""Bits per second of stereo sound, in thousands; mono takes half."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a run may use."""

    threads: int
    max_pixels: int
    max_output_bytes: int


def render_command(plan: RenderPlan, files: Sequence[str], output: str, allowance: Allowance) -> list[str]:
    """FFmpeg's arguments (without the program) that render `plan` from the files, in the order of its sources."""
    arguments = ["-nostdin", "-hide_banner", "-loglevel", "repeat+level+warning", "-nostats"]
    arguments += ["-progress", "pipe:1", "-stats_period", "0.5"]
    arguments += ["-max_alloc", str(MAX_ALLOC), "-max_error_rate", MAX_ERROR_RATE]
    arguments += ["-filter_complex_threads", str(allowance.threads)]
    for clip in plan.clips:
        arguments += _input(clip, files[clip.source], allowance, joined=plan.joined)
    arguments += ["-filter_complex", filter_graph(plan)]
    if plan.video_codec:
        arguments += ["-map", "[picture]", *_video_encoder(plan, allowance.threads)]
    if plan.audio_codec:
        arguments += ["-map", "[sound]", *_audio_encoder(plan)]
    arguments += ["-map_metadata", "-1", "-map_chapters", "-1", "-sn", "-dn"]
    arguments += ["-t", _seconds(plan.length_us), "-fs", str(allowance.max_output_bytes)]
    if plan.container is not Format.WEBM:
        arguments += ["-movflags", "+faststart"]
    return [*arguments, "-f", plan.container.value, "-n", f"file:{output}"]


def probe_command(path: str, demuxer: str, allowance: Allowance) -> list[str]:
    """ffprobe's arguments (without the program) for the report that flowscale_worker.source reads."""
    return [
        *("-hide_banner", "-loglevel", "repeat+level+error", "-max_alloc", str(MAX_ALLOC)),
        *_reading_limits(demuxer, allowance, threads=1),
        *("-show_entries", REPORT_ENTRIES, "-of", "compact"),
        *("-i", f"file:{path}"),
    ]


def filter_graph(plan: RenderPlan) -> str:
    """The graph from [0:…] … to [picture] and [sound]."""
    chains: list[str] = []
    if not plan.joined:
        clip = plan.clips[0]
        if plan.video_codec and clip.picture:
            chains.append(f"[0:{clip.picture.index}]{_picture_chain(clip, plan)}[picture]")
        if plan.audio_codec and clip.sound:
            steps = [*_sound_steps(clip, plan), *_loudness(plan)]
            chains.append(f"[0:{clip.sound.index}]{','.join(steps)}[sound]")
        return ";".join(chains)
    joints = ""
    for index, clip in enumerate(plan.clips):
        if plan.video_codec:
            chains.append(f"{_joined_picture(index, clip, plan)}[v{index}]")
            joints += f"[v{index}]"
        if plan.audio_codec:
            chains.append(f"{_joined_sound(index, clip, plan)}[a{index}]")
            joints += f"[a{index}]"
    video, audio = int(bool(plan.video_codec)), int(bool(plan.audio_codec))
    outputs = ("[picture]" if video else "") + ("[joined]" if audio else "")
    chains.append(f"{joints}concat=n={len(plan.clips)}:v={video}:a={audio}{outputs}")
    if audio:
        chains.append(f"[joined]{','.join(_loudness(plan) or ['anull'])}[sound]")
    return ";".join(chains)


def _input(clip: Clip, path: str, allowance: Allowance, *, joined: bool) -> list[str]:
    # Many inputs are open at once when clips are joined; one thread each keeps their frame pools small.
    arguments = _reading_limits(clip.info.demuxer, allowance, threads=1 if joined else allowance.threads)
    picture = clip.picture
    if picture and picture.alpha and picture.codec in ("vp8", "vp9"):
        # FFmpeg's own VP8/VP9 decoders drop the alpha plane; libvpx reads it.
        arguments += ["-c:v", "libvpx" if picture.codec == "vp8" else "libvpx-vp9"]
    if not clip.info.still:
        start = _seconds(max(0, clip.info.origin_us + clip.start_us - SEEK_MARGIN_US))
        arguments += ["-seek_timestamp", "1", "-ss", start, "-t", _seconds(clip.length_us)]
    return [*arguments, "-i", f"file:{path}"]


def _reading_limits(demuxer: str, allowance: Allowance, *, threads: int) -> list[str]:
    if demuxer not in DEMUXERS:
        raise ValueError(f"{demuxer} is not among the demuxers that may be opened")
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", ",".join(_WHITELISTED_FORMATS)),
        *("-codec_whitelist", DECODERS, "-max_pixels", str(allowance.max_pixels)),
        *("-max_streams", str(MAX_STREAMS), "-probesize", str(PROBE_BYTES), "-analyzeduration", "10000000"),
        *("-threads", str(threads), "-f", demuxer),
    ]


_WHITELISTED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "jpeg_pipe", "png_pipe", "webp_pipe")


def _picture_chain(clip: Clip, plan: RenderPlan) -> str:
    picture, geometry = clip.picture, clip.geometry
    if picture is None or geometry is None:
        raise ValueError("a picture chain needs a picture")
    steps: list[str] = []
    rate = f"{plan.frame_rate.numerator}/{plan.frame_rate.denominator}"
    if clip.info.still:
        # The single frame is scaled once and then repeated.
        steps += _geometry_steps(picture, geometry, plan.pixel_format, converted=_converted(clip))
        steps += ["loop=loop=-1:size=1", f"setpts=N/({rate}*TB)", f"fps={rate}"]
    else:
        if clip.speed != 1:
            steps.append(f"setpts=PTS/{clip.speed:.6f}")
        # From time zero, so that a picture that starts later than its sound keeps its place.
        steps.append(f"fps={rate}:start_time=0")
        steps += _geometry_steps(picture, geometry, plan.pixel_format, converted=_converted(clip))
    if plan.joined:
        steps.append("tpad=stop_mode=clone:stop=-1")
    steps.append(f"trim=end_frame={clip.frames}")
    return ",".join(steps)


def _geometry_steps(picture: Picture, geometry: Geometry, pixel_format: str, *, converted: bool) -> list[str]:
    steps = []
    if picture.alpha:
        # Over black: without it, what lies under transparent pixels would show.
        steps += ["format=gbrap", "premultiply=inplace=1", "format=gbrp"]
    scale = [f"{geometry.scale[0]}:{geometry.scale[1]}"] if geometry.scale else []
    if converted:
        scale += ["out_color_matrix=bt709", "out_range=tv"]
    elif picture.full_range:
        scale += ["out_range=tv"]
    if scale:
        steps.append(f"scale={':'.join(scale)}")
    steps.append(f"format={pixel_format}")
    if geometry.crop:
        steps.append("crop={}:{}:{}:{}".format(*geometry.crop))
    if geometry.pad:
        steps.append("pad={}:{}:{}:{}:color=black".format(*geometry.pad))
    return [*steps, "setsar=1"]


def _joined_picture(index: int, clip: Clip, plan: RenderPlan) -> str:
    picture = clip.picture
    if picture:
        return f"[{index}:{picture.index}]{_picture_chain(clip, plan)}"
    rate = f"{plan.frame_rate.numerator}/{plan.frame_rate.denominator}"
    black = f"color=c=black:s={plan.width}x{plan.height}:r={rate}"
    return f"{black},format={plan.pixel_format},setsar=1,trim=end_frame={clip.frames}"


def _joined_sound(index: int, clip: Clip, plan: RenderPlan) -> str:
    samples = round(clip.output_us * (plan.sound_rate or 0) / 1_000_000)
    if clip.sound:
        steps = [*_sound_steps(clip, plan), "apad", f"atrim=end_sample={samples}"]
        return f"[{index}:{clip.sound.index}]{','.join(steps)}"
    return f"anullsrc=r={plan.sound_rate}:cl={_layout(plan)},atrim=end_sample={samples}"


def _sound_steps(clip: Clip, plan: RenderPlan) -> list[str]:
    # async=1 with first_pts=0 fills gaps and a late start with silence, so that sound stays with the picture.
    steps = [f"aresample={plan.sound_rate}:async=1:first_pts=0"]
    steps.append(f"aformat=sample_fmts=fltp:sample_rates={plan.sound_rate}:channel_layouts={_layout(plan)}")
    if clip.speed != 1 and clip.sound:
        length_us = min(clip.length_us, clip.sound.end_us - clip.start_us)
        steps += [f"atempo={factor:.6f}" for factor in tempo_factors(clip.speed)]
        # atempo keeps back its last window, about 50 ms of the result.
        steps.append(f"apad=whole_dur={_seconds(round(length_us / clip.speed))}")
    return steps


def tempo_factors(speed: float) -> list[float]:
    """atempo factors whose product is `speed`, each within 0.5..2, where the filter does not skip samples."""
    factors = []
    while speed > 2:
        factors.append(2.0)
        speed /= 2
    while speed < 0.5:
        factors.append(0.5)
        speed /= 0.5
    return [*factors, speed] if speed != 1 else factors


def _loudness(plan: RenderPlan) -> list[str]:
    steps = []
    if plan.volume != 1:
        steps.append(f"volume={plan.volume:.6f}")
    if plan.fade_in_us:
        steps.append(f"afade=t=in:st=0:d={_seconds(plan.fade_in_us)}")
    if plan.fade_out_us:
        start = _seconds(plan.length_us - plan.fade_out_us)
        steps.append(f"afade=t=out:st={start}:d={_seconds(plan.fade_out_us)}")
    return steps


def _video_encoder(plan: RenderPlan, threads: int) -> list[str]:
    common = ["-threads:v", str(threads)]
    if all(_converted(clip) for clip in plan.clips):
        common += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    if plan.video_codec == "vp9":
        speed, quality = VP9[plan.quality]
        rate = ["-b:v", "0"] if plan.quality is not Quality.LOSSLESS else []
        return ["-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", speed, "-row-mt", "1", *quality, *rate, *common]
    preset, quality = X264[plan.quality]
    return ["-c:v", "libx264", "-preset", preset, *quality, *common]


def _converted(clip: Clip) -> bool:
    """Whether we choose the matrix of its Y'CbCr (video's, BT.709), and must say so in the result.

    RGB has none, a JPEG or WebP has that of photographs, and what is laid over black went through RGB.
    """
    return clip.picture is not None and (clip.info.still or clip.picture.is_rgb or clip.picture.alpha)


def _audio_encoder(plan: RenderPlan) -> list[str]:
    codec = "libopus" if plan.audio_codec == "opus" else "aac"
    kbits = SOUND_KBITS[plan.quality] // (2 if plan.channels == 1 else 1)
    return ["-c:a", codec, "-b:a", f"{kbits}k"]


def _layout(plan: RenderPlan) -> str:
    return "mono" if plan.channels == 1 else "stereo"


def _seconds(microseconds: int) -> str:
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
