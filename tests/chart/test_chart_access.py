"""The admin key of a release: in a Secret, known to gateways alone, and never in a file for everybody."""

from __future__ import annotations

import base64
from typing import Any

import yaml

from chart.container_environment import environment
from chart.helm import ROOT, Document, render
from chart.pods import pods
from flowscale.settings import Settings


def secrets(documents: list[Document]) -> dict[str, dict[str, str]]:
    return {
        document["metadata"]["name"]: {
            key: base64.b64decode(value).decode() for key, value in document.get("data", {}).items()
        }
        for document in documents
        if document["kind"] == "Secret"
    }


def environments(documents: list[Document]) -> dict[str, dict[str, Any]]:
    return {
        container["name"]: dict(environment(container, documents))
        for pod in pods(documents)
        for container in pod.containers()
        if container["name"] in ("api", "worker", "operator", "test")
    }


def test_a_key_is_made_that_the_gateways_take() -> None:
    documents = render()
    (made,) = secrets(documents)["flowscale-admin"].values()
    given = environments(documents)
    assert given["api"]["FLOWSCALE_ADMIN_KEY"] == made
    settings = Settings.load({"FLOWSCALE_ADMIN_KEY": made}).gateway
    assert settings.auth == "none"
    assert settings.admin_key is not None
    assert [name for name, found in given.items() if made in found.values()] == ["api"]
    assert secrets(render({"logs": {"level": "debug"}}))["flowscale-admin"] != secrets(documents)["flowscale-admin"]


def test_a_key_of_ones_own_is_kept() -> None:
    documents = render({"admin": {"key": "k" * 32, "secretKey": "the.key"}})
    assert secrets(documents)["flowscale-admin"] == {"the.key": "k" * 32}


def test_a_secret_of_ones_own_is_named_and_none_is_made() -> None:
    documents = render({"admin": {"existingSecret": "ours", "secretKey": "one"}, "auth": {"mode": "keys"}})
    assert not [name for name in secrets(documents) if "admin" in name or name == "ours"]
    references = {
        (container["name"], entry["name"], *sorted(entry["valueFrom"]["secretKeyRef"].values()))
        for pod in pods(documents)
        for container in pod.containers()
        for entry in container.get("env", [])
        if entry.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == "ours"
    }
    # The test of the release asks as anybody does who has a key; workers and operator have none.
    assert references == {("api", "FLOWSCALE_ADMIN_KEY", "one", "ours"), ("test", "FLOWSCALE_API_KEY", "one", "ours")}
    assert environments(documents)["api"]["FLOWSCALE_AUTH"] == "keys"


def test_the_manifest_for_everybody_has_no_key_in_it() -> None:
    documents = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()))
    assert not [document for document in documents if document and document["kind"] == "Secret"]
    (api,) = [
        document
        for document in documents
        if document and document["kind"] == "Deployment" and document["metadata"]["name"] == "flowscale-api"
    ]
    entries = api["spec"]["template"]["spec"]["containers"][0]["env"]
    (entry,) = [entry for entry in entries if entry["name"] == "FLOWSCALE_ADMIN_KEY"]
    assert entry["valueFrom"]["secretKeyRef"] == {"name": "flowscale-admin", "key": "admin-key"}
