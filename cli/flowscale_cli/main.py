"""The tour: `flowscale --help`. Each command lives in a module of its own and is imported when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flowscale import __version__
from flowscale.crashes import redact_crashes
from flowscale.errors import FlowScaleError, InvalidPath, SettingsError
from flowscale.specs import Fit, Format, Quality
from flowscale_cli import policy_options
from flowscale_cli.checks import Part
from flowscale_cli.jobs import jobs
from flowscale_cli.keys import keys
from flowscale_cli.options import ServerUrl
from flowscale_cli.queue_control import queue
from flowscale_cli.screen import fail, say
from flowscale_cli.webhooks import webhooks


class _Tour(TyperGroup):
    """The words of a wrong option are for people: the library lets through what its validator puts before them."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="flowscale",
    cls=_Tour,
    help="Self-hosted video renders: upload a clip, ask for a render, get a verified file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(jobs, name="jobs")
app.add_typer(queue, name="queue")
app.add_typer(webhooks, name="webhooks")
app.add_typer(keys, name="keys")


@app.command()
def demo(
    file: Annotated[Path | None, typer.Argument(help="A clip of yours; a test picture is made without one.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the result.")] = Path("demo-output"),
) -> None:
    """Render one clip end to end, over HTTP, on this machine alone, and say where the result is."""
    from flowscale_cli.demo import run_demo

    run_demo(file, output)


@app.command()
def dev(
    port: Annotated[int | None, typer.Option(help="Port to listen on; PORT (3000) by default.")] = None,
) -> None:
    """Run gateway and workers in one process, with a page to try them in a browser."""
    from flowscale_cli.service import run_service

    run_service(page=True, port=port)


@app.command()
def api() -> None:
    """Run the gateway as deployed; in memory mode with its workers, as the service it replaces did."""
    from flowscale_cli.service import run_service

    run_service(page=False, port=None)


@app.command()
def worker(
    autoscale: Annotated[
        bool, typer.Option("--autoscale", help="From WORKER_CONCURRENCY up to MAX_WORKERS, by the queue.")
    ] = False,
) -> None:
    """Run the workers of this machine over the Redis queue, until SIGTERM."""
    from flowscale_cli.workers import run_workers

    run_workers(autoscale=autoscale)


@app.command()
def simulate(
    trace: Annotated[
        Path,
        typer.Option(help="CSV with a heading, or JSON lines: at_seconds, render_seconds and, if there is one, kind."),
    ],
    minimum: policy_options.Minimum = 0,
    maximum: policy_options.Maximum = 4,
    jobs_per_worker: policy_options.JobsPerWorker = None,
    max_wait: policy_options.MaxWait = None,
    idle: policy_options.Idle = 60.0,
    step_up: policy_options.StepUp = 100,
    step_down: policy_options.StepDown = 100,
    start: policy_options.Start = 10.0,
    renders: policy_options.Renders = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Say what a scaling policy would have done with the jobs of a trace: waits, workers, and why they changed."""
    from flowscale_cli.simulate import run_simulation

    policy = policy_options.read_policy(
        minimum,
        maximum,
        jobs_per_worker=jobs_per_worker,
        max_wait=max_wait,
        idle=idle,
        step_up=step_up,
        step_down=step_down,
        start=start,
        renders=renders,
    )
    run_simulation(trace, policy, as_json=as_json)


@app.command()
def doctor(
    part: Annotated[Part, typer.Option("--for", help="What this machine is to be.")] = Part.ALL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Say whether this installation can work: storage, queue, FFmpeg, clock; exit code 1 when something failed."""
    from flowscale_cli.doctor import run_doctor

    raise typer.Exit(run_doctor(part, as_json=as_json))


@app.command()
def render(
    files: Annotated[list[Path], typer.Argument(help="The clip; several are joined in order.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The result: .mp4, .webm or .mov.")],
    start: Annotated[float, typer.Option(help="Seconds to leave out at the start.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Where to end, in seconds of the source.")] = None,
    speed: Annotated[float, typer.Option(help="0.25 to 4; picture and sound.")] = 1.0,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")] = None,
    fit: Annotated[Fit, typer.Option(help="How the picture comes into the size.")] = Fit.CONTAIN,
    quality: Annotated[Quality, typer.Option(help="Quality of picture and sound.")] = Quality.MEDIUM,
    format: Annotated[Format | None, typer.Option(help="By the result's name unless given.")] = None,
    volume: Annotated[float, typer.Option(help="0 to 2.")] = 1.0,
    fade_in: Annotated[float, typer.Option(help="Seconds of the result.")] = 0.0,
    fade_out: Annotated[float, typer.Option(help="Seconds of the result.")] = 0.0,
    mute: Annotated[bool, typer.Option("--mute", help="Leave the sound out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the result if it exists.")] = False,
    url: ServerUrl = None,
) -> None:
    """Render files here, or on a server with --url."""
    from flowscale_cli.render import run_render
    from flowscale_cli.render_options import read_options

    options = read_options(
        output,
        start=start,
        end=end,
        speed=speed,
        size=size,
        fit=fit,
        quality=quality,
        format=format,
        volume=volume,
        fade_in=fade_in,
        fade_out=fade_out,
        mute=mute,
    )
    run_render(files, output, options, url=url, force=force)


def _print_version(asked: bool) -> None:
    if asked:
        say(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Self-hosted video renders: upload a clip, ask for a render, get a verified file."""


def run() -> None:
    """The program's entry: errors a person can mend become one sentence and exit code 1."""
    redact_crashes()
    try:
        app()
    except FlowScaleError as error:
        fail(error)
        sys.exit(1)
    except OSError as error:
        fail(InvalidPath(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."))
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("flowscale"):
            raise
        extra = "worker" if error.name == "rq" else "api"
        fail(SettingsError(f"this command needs the package {error.name}: install flowscale[{extra}], which brings it"))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
