"""How the operator logs in: as a pod's service account, or by a kubeconfig. Both as kopf itself does it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import kopf

from flowscale.errors import SettingsError

_SETTINGS = kopf.OperatorSettings()


def log_in() -> kopf.ConnectionInfo:
    """Read anew each time it is called: a service account's token changes about once an hour. Raises SettingsError."""
    for way in (kopf.login_with_service_account, kopf.login_with_kubeconfig):
        try:
            found = way(logger=logging.getLogger("flowscale.operator"), settings=_SETTINGS)
        except (OSError, KeyError, kopf.LoginError) as error:
            raise SettingsError(f"KUBECONFIG: it does not say how to reach a cluster ({error})") from error
        if found is not None:
            return found
    raise SettingsError("KUBECONFIG: neither a service account nor a kubeconfig is here; run this in a pod or set it")


def headers(connection: kopf.ConnectionInfo) -> Mapping[str, str]:
    return connection.as_http_headers()
