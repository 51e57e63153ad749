"""A release as in production: files in a bucket, the queue on a server of one's own behind TLS, two ways in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.cluster import Cluster
from e2e.neighbours import BUCKET, TLS_PORT, Bucket, SecureRedis
from e2e.releases import SMALL, Release, merged

BY_INGRESS = "ingress.flowscale.test"
BY_ROUTE = "route.flowscale.test"


def spread_over_nodes(component: str) -> dict[str, Any]:
    """Not only where possible, as the chart has it for gateways."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/component": component}},
        "matchLabelKeys": ["pod-template-hash"],
    }


class Site:
    """The release and its neighbours, in one namespace. `node` is where the neighbours stand; None: anywhere."""

    def __init__(self, cluster: Cluster, namespace: str, helm: int, node: str | None = None) -> None:
        self.release = Release(cluster, namespace, helm=helm)
        self.bucket = Bucket(cluster, namespace, node)
        self.queue = SecureRedis(cluster, namespace, node)

    def start_neighbours(self, folder: Path) -> None:
        """`folder` takes the keys of a certificate."""
        self.bucket.start()
        self.queue.start(folder)

    def values(self, **changes: Any) -> Mapping[str, Any]:
        own = {
            "storage": {
                "type": "s3",
                "s3": {"bucket": BUCKET, "endpointUrl": self.bucket.endpoint, "existingSecret": "bucket"},
            },
            "redis": {
                "mode": "external",
                "external": {
                    "host": self.queue.host,
                    "port": TLS_PORT,
                    "existingSecret": "queue",
                    "tls": {"enabled": True, "caSecret": "queue-ca"},
                },
            },
            "api": {"topologySpreadConstraints": [spread_over_nodes("api")]},
            "worker": {"topologySpreadConstraints": [spread_over_nodes("worker")]},
            "ingress": {"enabled": True, "preset": "contour", "hosts": [BY_INGRESS]},
            "gatewayApi": {
                "enabled": True,
                "parentRefs": [{"name": "edge", "namespace": "projectcontour"}],
                "hostnames": [BY_ROUTE],
            },
            # The neighbours answer on ports that only a NetworkPolicy of their own would open.
            "networkPolicy": {"extraEgress": [{"ports": [{"port": self.bucket.port}, {"port": TLS_PORT}]}]},
        }
        return merged(merged(SMALL, own), changes)
