"""Encoders and their settings for each quality; pure."""

from __future__ import annotations

from flowscale.specs import Quality
from flowscale_worker.plan import RenderPlan

X264 = {
    Quality.LOW: ("veryfast", ("-crf", "28")),
    Quality.MEDIUM: ("fast", ("-crf", "23")),
    Quality.HIGH: ("medium", ("-crf", "18")),
    Quality.LOSSLESS: ("veryfast", ("-qp", "0")),  # not CRF 0, which is lossy above 8 bits
}
LARGE_PIXELS = 2560 * 1440
X264_LARGE = ("-rc-lookahead", "10")
"""Past LARGE_PIXELS: each frame looked ahead to takes 26 MB at 4K (1.9 GB by preset, 1.1 GB so)."""

HUGE_PIXELS = 4096 * 2304
X264_HUGE = ("-rc-lookahead", "0", "-bf", "0", "-refs", "1", "-x264-params", "mbtree=0:sliced-threads=1")
"""Past 4K, cinema's too: each frame that the encoder keeps takes 100 MB at 8K (5 GB by preset, 0.8 GB so)."""

VP9 = {
    Quality.LOW: ("6", ("-crf", "38")),
    Quality.MEDIUM: ("5", ("-crf", "32")),
    Quality.HIGH: ("4", ("-crf", "24")),
    Quality.LOSSLESS: ("5", ("-lossless", "1")),
}
SOUND_KBITS = {Quality.LOW: 96, Quality.MEDIUM: 128, Quality.HIGH: 192, Quality.LOSSLESS: 320}
"""Bits per second of stereo sound, in thousands; mono takes half."""


def video_encoder(plan: RenderPlan, threads: int) -> list[str]:
    common = ["-threads:v", str(threads)]
    if plan.says_matrix:
        common += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    if plan.video_codec == "vp9":
        speed, quality = VP9[plan.quality]
        rate = ["-b:v", "0"] if plan.quality is not Quality.LOSSLESS else []
        return ["-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", speed, "-row-mt", "1", *quality, *rate, *common]
    preset, quality = X264[plan.quality]
    pixels = (plan.width or 0) * (plan.height or 0)
    memory = X264_HUGE if pixels > HUGE_PIXELS else X264_LARGE if pixels > LARGE_PIXELS else ()
    return ["-c:v", "libx264", "-preset", preset, *memory, *quality, *common]


def audio_encoder(plan: RenderPlan) -> list[str]:
    codec = "libopus" if plan.audio_codec == "opus" else "aac"
    kbits = SOUND_KBITS[plan.quality] // (2 if plan.channels == 1 else 1)
    return ["-c:a", codec, "-b:a", f"{kbits}k"]
