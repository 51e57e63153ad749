"""Who is told of a job's end: the installation's endpoints, and the URL that came with the job."""

from __future__ import annotations

from flowscale.errors import InvalidOptions, InvalidPath
from flowscale.jobs import Target
from flowscale.outbound.addresses import locate
from flowscale.outbound.faults import Refused
from flowscale.settings import WebhookSettings
from flowscale.specs import MAX_URL, checked_url
from flowscale.webhooks.deliveries import own_target, url_target


def targets_of(settings: WebhookSettings, url: str | None) -> tuple[Target, ...]:
    """Raises InvalidOptions for a URL that is never sent to; what its host stands for is judged when it is called."""
    own = tuple(own_target(endpoint) for endpoint in settings.urls)
    if url is None:
        return own
    if not settings.secrets:
        raise _refused("this service sends no webhooks: it has no secret to sign them with (FLOWSCALE_WEBHOOK_SECRET)")
    try:
        secure = locate(checked_url(url)).secure
    except (InvalidPath, Refused) as error:
        raise _refused(
            f"must be a plain https:// address with a host name, without user name or password, of at most {MAX_URL} "
            "characters"
        ) from error
    if not secure and not settings.allow_networks:
        raise _refused("must begin with https://")
    return (*own, url_target(url))


def _refused(message: str) -> InvalidOptions:
    fault = {"path": "$.webhookUrl", "message": message}
    return InvalidOptions(f"The webhookUrl cannot be used: {message}.", details={"faults": [fault]})
