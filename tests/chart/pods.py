"""Finds the pods that the documents of a chart would make, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chart.helm import Document, title

TEMPLATED = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of one."""

    owner: Document
    metadata: dict[str, Any]
    spec: dict[str, Any]

    @property
    def title(self) -> str:
        return title(self.owner)

    @property
    def component(self) -> str:
        return str(self.metadata["labels"]["app.kubernetes.io/component"])

    def containers(self) -> list[dict[str, Any]]:
        """Those that prepare, then those that stay."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(documents: Sequence[Document]) -> list[Pod]:
    """One for each document that makes pods."""
    return [pod for document in documents for pod in _pods_of(document)]


def _pods_of(document: Document) -> Iterator[Pod]:
    if document["kind"] == "Pod":
        yield Pod(document, document["metadata"], document["spec"])
    elif document["kind"] in TEMPLATED:
        template = document["spec"]["template"]
        yield Pod(document, template["metadata"], template["spec"])
    elif document["kind"] == "CronJob":
        template = document["spec"]["jobTemplate"]["spec"]["template"]
        yield Pod(document, template["metadata"], template["spec"])
