"""A release as in production (production.py) for all long tests. Its neighbours stand on one node: the other may go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.conftest import ServiceAt
from e2e.production import Site
from e2e.renders import Service


@pytest.fixture(scope="session")
def safe_node(cluster: Cluster) -> str:
    """The node on which the neighbours stand."""
    return cluster.workers()[0]


@pytest.fixture(scope="session")
def site(cluster: Cluster, safe_node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with cluster.namespace("long") as namespace:
        made = Site(cluster, namespace, helm=3, node=safe_node)
        made.start_neighbours(tmp_path_factory.mktemp("keys"))
        made.release.install(made.values())
        yield made
        made.release.uninstall()


@pytest.fixture(scope="module")
def service(cluster: Cluster, site: Site, service_at: ServiceAt) -> Service:
    return service_at(cluster.node_port(site.release.namespace, site.release.component("api"), 80))
