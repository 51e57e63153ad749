"""Fixtures of the tests on a cluster (`make e2e`, `make e2e-long`), the table at their end, and what failures leave."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from e2e import evidence
from e2e.cluster import Cluster
from e2e.releases import ROOT
from e2e.renders import Service
from e2e.tables import Figures

FIGURES = pytest.StashKey[Figures]()
CLUSTER = pytest.StashKey[Cluster]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster:
    found = pytestconfig.stash[CLUSTER] = Cluster()
    return found


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of the real clips that scripts/bootstrap fetches."""
    return ROOT / ".cache" / "clips"


class MakeNamespace(Protocol):
    def __call__(self, purpose: str) -> str: ...


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[MakeNamespace]:
    """Makes namespaces; those that a module made are gone when it has ended."""
    with ExitStack() as kept:
        yield lambda purpose: kept.enter_context(cluster.namespace(purpose))


class ServiceAt(Protocol):
    def __call__(self, url: str, host: str | None = None) -> Service: ...


@pytest.fixture(scope="module")
def service_at() -> Iterator[ServiceAt]:
    """Services by their addresses, each well when it is handed out."""
    with ExitStack() as kept:

        def enter(url: str, host: str | None = None) -> Service:
            entered: AbstractContextManager[Service] = Service(url, host)
            service = kept.enter_context(entered)
            service.wait_until_well()
            return service

        yield enter


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    cluster = item.config.stash.get(CLUSTER, None)
    if report.failed and cluster is not None:
        report.sections.append(("evidence", evidence.keep(cluster, f"{item.nodeid}-{call.when}")))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    figures = config.stash[FIGURES]
    if figures.rows:
        terminalreporter.section("figures")
        terminalreporter.write_line(figures.table())
