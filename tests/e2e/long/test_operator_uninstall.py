"""Everything that is installed goes in any order, and nothing is stuck: the WorkerScaler, its operator, the release,
the kind of resource itself. Each namespace must be gone in the end, which an object with a finalizer would prevent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from e2e.cluster import Cluster
from e2e.releases import LEFT_BY_NO_RELEASE, Release
from e2e.rest import get, rest
from e2e.scalers import scaled
from e2e.waiting import until

CRD = "workerscalers.flowscale.dev"
ORDERS = [
    ("scaler", "operator", "kind", "release"),
    ("scaler", "kind", "operator", "release"),
    ("operator", "scaler", "kind", "release"),
    ("operator", "kind", "release"),  # with the kind its objects go
    ("kind", "operator", "release"),
    ("release", "kind"),
    ("kind", "release"),
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_everything_goes(cluster: Cluster, order: tuple[str, ...]) -> None:
    with cluster.namespace("uninstall") as namespace:
        release = Release(cluster, namespace)
        release.install(scaled(idle_seconds=1))
        remove: Mapping[str, Callable[[], object]] = {
            "scaler": lambda: delete(cluster, namespace, f"workerscaler/{release.fullname}"),
            "operator": lambda: delete(cluster, namespace, f"deployment/{release.component('operator')}"),
            "kind": lambda: delete(cluster, namespace, f"customresourcedefinition/{CRD}"),
            "release": release.uninstall,
        }
        for what in order:
            remove[what]()
        words = ("--namespace", namespace, "--selector", f"app.kubernetes.io/instance={release.name}")
        # Gateways end what was asked of them before they go.
        until(lambda: not cluster.kubectl(*words, "get", LEFT_BY_NO_RELEASE, "--output", "name"), "all of it to go")


def test_nothing_of_it_holds_anything_up(cluster: Cluster) -> None:
    """No object of the operator's has a finalizer."""
    with cluster.namespace("finalizers") as namespace, rest(cluster) as client:
        release = Release(cluster, namespace)
        release.install(scaled(idle_seconds=1))
        paths = {
            "WorkerScaler": f"/apis/flowscale.dev/v1alpha1/namespaces/{namespace}/workerscalers",
            "Lease": f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
            "Pod": f"/api/v1/namespaces/{namespace}/pods",
            "Deployment": f"/apis/apps/v1/namespaces/{namespace}/deployments",
        }
        until(lambda: get(client, paths["Lease"])["items"], "the operator's Lease")
        for kind, path in paths.items():
            items = get(client, path)["items"]
            assert items, kind
            assert [item for item in items if item["metadata"].get("finalizers")] == [], kind
        release.uninstall()


def delete(cluster: Cluster, namespace: str, what: str) -> None:
    cluster.kubectl("--namespace", namespace, "delete", what, "--timeout", "120s")
