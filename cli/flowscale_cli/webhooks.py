"""`flowscale webhooks`: what was told of a job, telling it again, and whether the endpoints of the settings answer."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit
from uuid import uuid4

import typer

from flowscale.clocks import SystemClock, iso_utc
from flowscale.errors import SettingsError
from flowscale.settings import Settings
from flowscale.webhooks.deliveries import Delivery, own_target
from flowscale.webhooks.payload import ping_body
from flowscale.webhooks.signing import signed_headers
from flowscale_cli.queue_control import steer, with_queue
from flowscale_cli.screen import say, table

webhooks = typer.Typer(help="Webhooks of a service over Redis (docs/webhooks.md).", no_args_is_help=True)


@webhooks.command("list")
def list_deliveries(job_id: Annotated[str, typer.Argument(help="A job's id.", metavar="JOB")]) -> None:
    """What was told, or is still to be told, of a job."""
    found = with_queue(lambda queue: queue.deliveries(job_id))
    if not found:
        say("Nobody was told of this job, or it is more than a day ago.")
        return
    table([("ID", "ENDED", "STATE", "TRIES", "STATUS", "NEXT", "WHY"), *map(_row, found)])


@webhooks.command()
def replay(delivery_id: Annotated[str, typer.Argument(help="A delivery's id.", metavar="ID")]) -> None:
    """Deliver one again from now on, under the same id."""
    delivery = steer("replay-webhook", delivery_id, lambda queue: queue.replay(delivery_id))
    say(f"{delivery.id} is due now; a gateway delivers it within seconds.")


@webhooks.command()
def test() -> None:
    """Send a signed `ping` from here to each endpoint of the settings; exit code 1 when one does not take it."""
    from flowscale.webhooks.sending import post

    settings = Settings.load().webhooks
    if not settings.urls:
        raise SettingsError("FLOWSCALE_WEBHOOK_URL: no endpoint is set that could be tested")
    clock = SystemClock()
    body = ping_body(clock.now_ms())
    rows, well = [("ENDPOINT", "HOST", "STATUS", "ANSWER")], True
    for url in settings.urls:
        headers = signed_headers(settings.secrets, f"msg_ping_{uuid4().hex}", clock.now_ms(), body)
        answer = post(url, headers, body, settings.allow_networks, clock, _go_on)
        well = well and answer.status is not None and 200 <= answer.status < 300
        status = "-" if answer.status is None else str(answer.status)
        rows.append((own_target(url).name, urlsplit(url).hostname or "", status, answer.fault or answer.body))
    table(rows)
    if not well:
        raise typer.Exit(1)


def _row(delivery: Delivery) -> tuple[str, ...]:
    return (
        delivery.id,
        iso_utc(delivery.ended.at_ms),
        delivery.state,
        str(delivery.tries),
        "-" if delivery.status is None else str(delivery.status),
        "-" if delivery.next_ms is None else iso_utc(delivery.next_ms),
        delivery.fault or "",
    )


def _go_on() -> None:
    """Ctrl-C ends it; nothing else does."""
