"""From a plan to FFmpeg's filter graph; pure. Numbers we format and names from closed sets, nothing else.

Order within a chain: time first (setpts, fps), then picture (scale, crop, pad). Without a constant rate after
setpts, FFmpeg adds one or two frames; choosing frames before scaling spares the work on those that go.
"""

from __future__ import annotations

from flowscale_worker.geometry import Geometry
from flowscale_worker.plan import Clip, RenderPlan
from flowscale_worker.source import Picture


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


def _picture_chain(clip: Clip, plan: RenderPlan) -> str:
    picture, geometry = clip.picture, clip.geometry
    if picture is None or geometry is None:
        raise ValueError("a picture chain needs a picture")
    # A PNG's texts and profile may unpack to hundreds of MB, which FFmpeg would copy with each repeated frame.
    steps = ["metadata=mode=delete", "sidedata=mode=delete"] if picture.codec == "png" else []
    rate = f"{plan.frame_rate.numerator}/{plan.frame_rate.denominator}"
    if clip.info.still:
        # The single frame is scaled once and then repeated.
        steps += _geometry_steps(picture, geometry, plan.pixel_format, converted=clip.chooses_matrix)
        steps += ["loop=loop=-1:size=1", f"setpts=N/({rate}*TB)", f"fps={rate}"]
    else:
        if clip.speed != 1:
            steps.append(f"setpts=PTS/{clip.speed:.6f}")
        # From time zero, so that a picture that starts later than its sound keeps its place.
        steps.append(f"fps={rate}:start_time=0")
        steps += _geometry_steps(picture, geometry, plan.pixel_format, converted=clip.chooses_matrix)
    if plan.joined:
        steps.append("tpad=stop_mode=clone:stop=-1")
    steps.append(f"trim=end_frame={clip.frames}")
    return ",".join(steps)


def _geometry_steps(picture: Picture, geometry: Geometry, pixel_format: str, *, converted: bool) -> list[str]:
    steps = []
    if picture.alpha:
        # Over black: without it, what lies under transparent pixels would show.
        steps += ["format=gbrap", "premultiply=inplace=1", "format=gbrp"]
    # Always said, at no cost where nothing changes: a stream may change its size in the middle.
    wide, high = geometry.scale or (picture.width, picture.height)
    scale = [f"{wide}:{high}"]
    if converted:
        scale += ["out_color_matrix=bt709", "out_range=tv"]
    elif picture.full_range:
        scale += ["out_range=tv"]
    steps += [f"scale={':'.join(scale)}", f"format={pixel_format}"]
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
    length_us = clip.exact_us(plan.frame_rate if clip.frames else None)
    samples = round(length_us * (plan.sound_rate or 0) / 1_000_000)
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
        steps.append(f"apad=whole_dur={in_seconds(round(length_us / clip.speed))}")
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
        steps.append(f"afade=t=in:st=0:d={in_seconds(plan.fade_in_us)}")
    if plan.fade_out_us:
        start = in_seconds(plan.length_us - plan.fade_out_us)
        steps.append(f"afade=t=out:st={start}:d={in_seconds(plan.fade_out_us)}")
    return steps


def _layout(plan: RenderPlan) -> str:
    return "mono" if plan.channels == 1 else "stereo"


def in_seconds(microseconds: int) -> str:
    """As FFmpeg reads a time: `12.345678`."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
