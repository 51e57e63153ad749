"""Run FFmpeg for a plan: at once, or for many clips part by part.

A plan of many clips would keep as many decoders open as it has clips. So its picture is encoded in parts of a few
clips each, its sound in one go (an encoder's lead-in at every joint would be heard), and then both are put
together without encoding anything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flowscale.errors import LimitExceeded
from flowscale_worker import ffmpeg
from flowscale_worker.command import Allowance, join_command, parts_list_text, render_command
from flowscale_worker.failures import classify, clean_line
from flowscale_worker.kit import Kit, checked
from flowscale_worker.plan import RenderPlan, in_parts, sound_of
from flowscale_worker.progress import EncodeProgress

LOG_LINES = 12
"""FFmpeg's last lines that go into a job's log."""


def encode(plan: RenderPlan, files: Sequence[Path], output: Path, kit: Kit) -> None:
    """Make `output` of the files (in the order of the plan's sources). Raises what FFmpeg's failure means.

    Leaves parts beside the output, in a folder that is the caller's to remove.
    """
    run = _Run(plan, [str(file) for file in files], output.parent, kit, kit.clock.monotonic())
    parts = in_parts(plan)
    if len(parts) == 1:
        run.render(plan, output)
    else:
        _encode_parts(run, parts, output)
    if output.exists() and output.stat().st_size >= kit.settings.max_output_bytes * 0.99:
        raise LimitExceeded(f"The result is larger than the {kit.settings.max_output_bytes} bytes allowed.")


def _encode_parts(run: _Run, parts: Sequence[RenderPlan], output: Path) -> None:
    folder, container = output.parent, run.plan.container
    sound = None
    if run.plan.audio_codec:
        sound = folder / f"sound.{container}"
        run.render(sound_of(run.plan), sound)
    names = [f"part-{number}.{container}" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        run.render(part, folder / name)
        run.before_us += part.length_us
    parts_list = folder / "parts.ffconcat"
    parts_list.write_text(parts_list_text(names, parts))
    run.ffmpeg(join_command(run.plan, str(parts_list), str(sound) if sound else None, str(output), run.allowance))


@dataclass(slots=True)
class _Run:
    """The runs of FFmpeg for one plan: together they keep its budgets of time and bytes."""

    plan: RenderPlan
    files: Sequence[str]
    folder: Path
    kit: Kit
    started: float
    before_us: int = 0

    @property
    def allowance(self) -> Allowance:
        written = sum(path.stat().st_size for path in self.folder.glob("part-*"))
        return replace(self.kit.allowance, max_output_bytes=max(1, self.kit.settings.max_output_bytes - written))

    def render(self, plan: RenderPlan, output: Path) -> None:
        self.ffmpeg(render_command(plan, self.files, str(output), self.allowance), seen=plan.video_codec is not None)

    def ffmpeg(self, arguments: Sequence[str], *, seen: bool = False) -> None:
        """`seen`: its progress is the job's. A plan without picture is run once, and seen too."""
        self.kit.ran([self.kit.tools.ffmpeg, *arguments])
        progress = EncodeProgress(self.plan.length_us, self.before_us)

        def hear(line: str) -> None:
            if progress.feed(line) and (seen or self.plan.video_codec is None):
                self.kit.tell(progress.percent)
                self.kit.watch(progress)

        allowed = self.kit.settings.render_timeout_seconds
        left = max(0.0, allowed - (self.kit.clock.monotonic() - self.started))
        ended = checked(
            ffmpeg.run(
                self.kit.tools.ffmpeg,
                arguments,
                self.kit.limits(left),
                clock=self.kit.clock,
                on_line=hear,
                should_stop=self.kit.should_stop,
            ),
            "a render",
            allowed,
        )
        self.kit.tell(None, [clean_line(line, [str(self.folder)]) for line in ended.stderr[-LOG_LINES:]])
        if ended.returncode != 0:
            raise classify(ended.returncode, ended.stderr, doing="rendering", seconds=ended.seconds)
