"""`flowscale jobs`: see and steer the jobs of a server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flowscale.settings import Settings
from flowscale_cli.client import Client
from flowscale_cli.options import AsJson, ServerUrl
from flowscale_cli.screen import Bar, facts, say, say_json, size_text, table

jobs = typer.Typer(
    help="See and steer the jobs of a server (FLOWSCALE_URL, or --url; its key in FLOWSCALE_API_KEY).",
    no_args_is_help=True,
)

JobId = Annotated[str, typer.Argument(help="A job's id, as the server answered it.", metavar="JOB")]


def connect(url: str | None) -> Client:
    """The server named on the command line, else FLOWSCALE_URL, else the one `flowscale dev` starts."""
    settings = Settings.load().client
    return Client(url or settings.url, settings.api_key)


@jobs.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="queued, running, done or error.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    as_json: AsJson = False,
    url: ServerUrl = None,
) -> None:
    """List jobs, newest first."""
    with connect(url) as client:
        found = client.jobs(status, limit)
    if as_json:
        say_json(found)
    elif not found:
        say("No jobs.")
    else:
        table([("JOB", "STATUS", "PROGRESS", "CREATED", "SECONDS", "WHY"), *map(_row, found)])


@jobs.command()
def show(job_id: JobId, as_json: AsJson = False, url: ServerUrl = None) -> None:
    """Show all that is known of a job."""
    with connect(url) as client:
        _show(client.job(job_id), as_json)


@jobs.command()
def watch(job_id: JobId, url: ServerUrl = None) -> None:
    """Follow a job to its end. Exit code 1 when it ends in error."""
    with connect(url) as client:
        job = watch_job(client, job_id)
    _show(job, as_json=False)
    if job["status"] != "done":
        raise typer.Exit(1)


@jobs.command()
def cancel(job_id: JobId, as_json: AsJson = False, url: ServerUrl = None) -> None:
    """Cancel a job that has not ended."""
    with connect(url) as client:
        _show(client.cancel(job_id), as_json)


@jobs.command()
def retry(job_id: JobId, as_json: AsJson = False, url: ServerUrl = None) -> None:
    """Queue a failed job again."""
    with connect(url) as client:
        _show(client.retry(job_id), as_json)


@jobs.command()
def promote(job_id: JobId, as_json: AsJson = False, url: ServerUrl = None) -> None:
    """Have a waiting job run next: of high priority from now on, and first of that line."""
    with connect(url) as client:
        client.promote(job_id)
        _show(client.job(job_id), as_json)


@jobs.command()
def remove(job_id: JobId, url: ServerUrl = None) -> None:
    """Remove a job that does not run, and its output."""
    with connect(url) as client:
        client.remove(job_id)
    say(f"Removed {job_id}.")


@jobs.command("retry-failed")
def retry_failed(
    code: Annotated[str | None, typer.Option(help="Only jobs that ended with this code.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    url: ServerUrl = None,
) -> None:
    """Queue failed jobs again, at most 1000 at a time; cancelled ones only when --code asks for them."""
    with connect(url) as client:
        done = client.retry_failed(code, project)
    more = f" {done['left']} more match; ask again." if done["left"] else ""
    say(f"Queued {done['retried']} jobs again.{more}")


def watch_job(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a job with a progress bar; the job as it ended."""
    job: dict[str, Any] = {}
    with Bar("queued") as bar:
        for job in client.follow(job_id):
            place = f"number {job['queuePosition']} in line" if "queuePosition" in job else ""
            bar.to(job["progressPct"], what=job["status"], note=place)
    return job


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    seconds = f"{job['durationMs'] / 1000:.1f}" if "durationMs" in job else ""
    why = job.get("error", {}).get("code", "")
    return job["jobId"], job["status"], f"{job['progressPct']} %", job["createdAt"], seconds, why


def _show(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(job)
        return
    rows = {"job": job["jobId"], "status": f"{job['status']}, {job['progressPct']} %"}
    for name, label in (("createdAt", "created"), ("startedAt", "started"), ("completedAt", "ended")):
        if name in job:
            rows[label] = job[name]
    if "queuePosition" in job:
        rows["in line"] = str(job["queuePosition"])
    if "error" in job:
        rows["why"] = f"{job['error']['message']} [{job['error']['code']}]"
    if "outputUrl" in job:
        rows["output"] = f"{job['outputUrl']} ({size_text(job['outputSize'])})"
    for attempt in job["attempts"]:
        outcome = attempt.get("code") or "done"
        rows[f"attempt {attempt['number']}"] = f"{attempt['startedAt']} on {attempt['worker']}: {outcome}"
    facts(rows)
    for line in job["logsTail"]:
        say(f"  {line}")
