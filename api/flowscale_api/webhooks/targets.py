"""Who is told of a job's end: the installation's endpoints, and the URL that came with the job."""

from __future__ import annotations

from collections.abc import Sequence

from flowscale.errors import InvalidOptions, InvalidPath
from flowscale.jobs import Target
from flowscale.outbound.addresses import Network, Place, literal, locate, refusal
from flowscale.outbound.faults import Refused
from flowscale.settings import WebhookSettings
from flowscale.specs import MAX_URL, checked_url
from flowscale.webhooks.deliveries import own_target, url_target
from flowscale.webhooks.sending import ALLOW_SETTING


def targets_of(settings: WebhookSettings, url: str | None) -> tuple[Target, ...]:
    """Raises InvalidOptions for a URL that is never sent to; what a host's name stands for is judged when it is
    called (sending.post), and so is everything once more."""
    own = tuple(own_target(endpoint) for endpoint in settings.urls)
    if url is None:
        return own
    if not settings.secrets:
        raise _refused("this service sends no webhooks: it has no secret to sign them with (FLOWSCALE_WEBHOOK_SECRET)")
    try:
        place = locate(checked_url(url))
    except (InvalidPath, Refused) as error:
        raise _refused(
            f"must be a plain https:// address with a host name, without user name or password, of at most {MAX_URL} "
            "characters"
        ) from error
    if why := _never_sent_to(place, settings.allow_networks):
        raise _refused(why)
    return (*own, url_target(url))


def _never_sent_to(place: Place, networks: Sequence[Network]) -> str | None:
    """Why not, as far as it can be known without a resolver. The words for an address are those for a name that leads
    inside."""
    address = literal(place.host)
    if address is not None and refusal((address,), networks) is not None:
        return (
            f"{place.host} leads nowhere on the public internet; a server on a network of your own must be in "
            f"{ALLOW_SETTING}"
        )
    inside = [network for network in networks if address is None or address in network]
    if not place.secure and not inside:
        return f"must begin with https://, as no network of {ALLOW_SETTING} has its host"
    return None


def _refused(message: str) -> InvalidOptions:
    fault = {"path": "$.webhookUrl", "message": message}
    return InvalidOptions(f"The webhookUrl cannot be used: {message}.", details={"faults": [fault]})
