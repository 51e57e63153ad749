"""Every rule between values has a case that breaks it, and doing what its message says mends the case.

The rules are read from the templates, so that a new one without a case fails here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from chart.helm import CHART, Refused, render
from chart.merging import merged


class Case(NamedTuple):
    """Values that do not fit together."""

    fault: str
    """A part of the message."""
    values: dict[str, Any]
    cure: dict[str, Any]
    """What the message says to do, laid over the values."""


def worker(**values: Any) -> dict[str, Any]:
    return {"worker": values}


def api(**values: Any) -> dict[str, Any]:
    return {"api": values}


def storage(kind: str, **values: Any) -> dict[str, Any]:
    return {"storage": {"type": kind, **values}}


def bundled(**values: Any) -> dict[str, Any]:
    return {"redis": {"bundled": values}}


def external(**values: Any) -> dict[str, Any]:
    return {"redis": {"mode": "external", "external": values}}


def webhooks(**values: Any) -> dict[str, Any]:
    return {
        "webhooks": {"existingSecret": "webhooks", **values},
        "api": {"publicUrl": "https://render.example.com"},
    }


def autoscaling(**values: Any) -> dict[str, Any]:
    return {"autoscaling": values}


APART = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}
PREFERRED: dict[str, Any] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}
SPREAD = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
R2 = {"bucket": "clips", "accountId": "0123abc", "existingSecret": "keys"}
SUPABASE = {"url": "https://project.supabase.co", "existingSecret": "keys"}

CASES = [
    Case(
        "admin.key and admin.existingSecret are two ways to give the admin key",
        {"admin": {"key": "k" * 32, "existingSecret": "keys"}},
        {"admin": {"key": ""}},
    ),
    Case(
        "worker.terminationGracePeriodSeconds is 60, which would kill renders",
        worker(terminationGracePeriodSeconds=60),
        worker(terminationGracePeriodSeconds=3660),
    ),
    Case(
        "5 render(s) at once need 7200000000",
        worker(concurrency=5),
        worker(resources={"limits": {"memory": "6867Mi"}}),
    ),
    Case(
        "worker.rollout.maxSurge and worker.rollout.maxUnavailable are both 0",
        worker(rollout={"maxSurge": "0%", "maxUnavailable": 0}),
        worker(rollout={"maxSurge": 1}),
    ),
    Case(
        "api.terminationGracePeriodSeconds is 30, which would cut requests",
        api(terminationGracePeriodSeconds=30),
        api(terminationGracePeriodSeconds=35),
    ),
    Case(
        "api.rollout.maxSurge and api.rollout.maxUnavailable are both 0",
        api(rollout={"maxSurge": 0}),
        api(rollout={"maxSurge": 1}),
    ),
    Case(
        "api.autoscaling.minReplicas (9) is more than api.autoscaling.maxReplicas (6)",
        api(autoscaling={"enabled": True, "minReplicas": 9}),
        api(autoscaling={"maxReplicas": 9}),
    ),
    Case(
        "api.autoscaling is on and looks at nothing",
        api(autoscaling={"enabled": True, "targetCPUPercent": None}),
        api(autoscaling={"targetMemoryPercent": 70}),
    ),
    Case(
        "none is requested: set api.resources.requests.cpu",
        api(autoscaling={"enabled": True}, resources={"requests": {"cpu": None}}),
        api(resources={"requests": {"cpu": "100m"}}),
    ),
    Case(
        "none is requested: set api.resources.requests.memory",
        api(autoscaling={"enabled": True, "targetMemoryPercent": 70}, resources={"requests": {"memory": None}}),
        api(resources={"requests": {"memory": "256Mi"}}),
    ),
    Case(
        "api.service.nodePort is set, and a Service of type ClusterIP has none",
        api(service={"nodePort": 30080}),
        api(service={"type": "NodePort"}),
    ),
    Case(
        "storage.type is local, which means one node, and storage.persistence.accessModes has ReadWriteMany",
        storage("local", persistence={"accessModes": ["ReadWriteMany"]}),
        storage("nfs"),
    ),
    *(
        Case(
            f"{part}.topologySpreadConstraints cannot be met with storage.type local",
            {part: {"topologySpreadConstraints": SPREAD}},
            {part: {"topologySpreadConstraints": []}},
        )
        for part in ("api", "worker")
    ),
    *(
        Case(
            f"{part}.affinity requires pods to stay apart, which storage.type local forbids",
            {part: {"affinity": APART}},
            {part: {"affinity": PREFERRED}},
        )
        for part in ("api", "worker")
    ),
    Case(
        "storage.type is nfs, whose volume every node mounts",
        storage("nfs", persistence={"accessModes": ["ReadWriteOnce"]}),
        storage("nfs", persistence={"accessModes": ["ReadWriteMany"]}),
    ),
    Case("storage.type is s3, and no bucket is named", storage("s3"), storage("s3", s3={"bucket": "clips"})),
    Case(
        "storage.type is r2, and nothing says where",
        storage("r2", r2={**R2, "accountId": ""}),
        storage("r2", r2={"endpointUrl": "https://0123abc.eu.r2.cloudflarestorage.com"}),
    ),
    Case(
        "storage.type is supabase, and nothing says where",
        storage("supabase", supabase={**SUPABASE, "url": ""}),
        storage("supabase", supabase=SUPABASE),
    ),
    Case(
        "storage.type is r2, which knows no workload identity",
        storage("r2", r2={**R2, "existingSecret": ""}),
        storage("r2", r2=R2),
    ),
    Case(
        "storage.supabase.anonKeyKey is set, and only signs a session of the service key",
        storage("supabase", supabase={**SUPABASE, "anonKeyKey": "anon"}),
        storage("supabase", supabase={"serviceKeyKey": "service"}),
    ),
    Case(
        "storage.s3.bucket is set, and storage.type is local",
        storage("local", s3={"bucket": "clips"}),
        storage("s3"),
    ),
    Case(
        "storage.r2.bucket is set, and storage.type is local",
        storage("local", r2={"bucket": "clips"}),
        storage("r2", r2=R2),
    ),
    Case(
        "storage.supabase.url is set, and storage.type is local",
        storage("local", supabase={"url": SUPABASE["url"]}),
        storage("supabase", supabase=SUPABASE),
    ),
    Case(
        "redis.external names a server, and redis.mode is bundled",
        {"redis": {"external": {"host": "redis.example.com"}}},
        external(),
    ),
    Case(
        "redis.bundled has no limit of memory",
        bundled(resources={"limits": {"memory": None}}),
        bundled(maxmemory="700mb"),
    ),
    Case(
        "redis.bundled.maxmemory (1gb) leaves nothing of redis.bundled.resources.limits.memory",
        bundled(maxmemory="1gb"),
        bundled(maxmemory="700mb"),
    ),
    Case(
        "redis.bundled.adminPasswordKey and redis.bundled.passwordKey are the same",
        bundled(adminPasswordKey="redis-password"),
        bundled(adminPasswordKey=""),
    ),
    Case("redis.mode is external, and no server is named", external(), external(host="redis.example.com")),
    Case(
        "webhooks are set up, and nothing signs them",
        webhooks(existingSecret="", urls=["https://hooks.example.com"]),
        webhooks(),
    ),
    Case(
        "webhooks.urls and webhooks.urlKey both name addresses",
        webhooks(urls=["https://hooks.example.com"], urlKey="addresses"),
        webhooks(urls=[]),
    ),
    Case(
        "webhooks say where outputs are, and nothing tells it",
        {"webhooks": {"existingSecret": "webhooks"}},
        {"api": {"publicUrl": "https://render.example.com"}},
    ),
    Case(
        "webhooks.urls holds an http:// address",
        webhooks(urls=["http://10.1.2.9/ended"]),
        webhooks(allowNetworks=["10.1.2.0/24"]),
    ),
    Case(
        "redis.external names the server in more than one way",
        external(host="redis.example.com", sentinel={"hosts": ["sentinel.example.com:26379"]}),
        external(host=""),
    ),
    Case(
        "redis.external.urlKey is a key of a Secret, and none is named",
        external(urlKey="url"),
        external(existingSecret="redis"),
    ),
    Case(
        "redis.external.url holds a user or a password",
        external(url="redis://me:secret@redis.example.com"),
        external(url="", existingSecret="redis", urlKey="url"),
    ),
    Case(
        "redis.external.tls.enabled is true, and redis.external.url says redis://",
        external(url="redis://redis.example.com", tls={"enabled": True}),
        external(url="rediss://redis.example.com"),
    ),
    Case(
        "redis.external.tls.caSecret names authorities, and redis.external.tls.enabled is false",
        external(host="redis.example.com", tls={"caSecret": "ca"}),
        external(tls={"enabled": True}),
    ),
    Case(
        "autoscaling.minReplicas (5) is more than autoscaling.maxReplicas (4)",
        autoscaling(minReplicas=5),
        autoscaling(maxReplicas=5),
    ),
    Case(
        "autoscaling.jobsPerReplica and autoscaling.maxWaitSeconds are two ways",
        autoscaling(maxWaitSeconds=30),
        autoscaling(jobsPerReplica=None),
    ),
    Case("autoscaling has no target", autoscaling(jobsPerReplica=None), autoscaling(maxWaitSeconds=30)),
    Case(
        "autoscaling.maxWaitSeconds is known by the operator alone",
        autoscaling(mode="keda", jobsPerReplica=None, maxWaitSeconds=30),
        autoscaling(jobsPerReplica=1, maxWaitSeconds=None),
    ),
    Case(
        "autoscaling.mode is keda, which takes no address",
        {**autoscaling(mode="keda"), **external(url="rediss://redis.example.com")},
        external(url="", host="redis.example.com"),
    ),
    Case(
        "ingress.enabled is true, and no host is named", {"ingress": {"enabled": True}}, {"ingress": {"hosts": ["a.b"]}}
    ),
    Case(
        "ingress.tlsSecret is set, and ingress.tls is false",
        {"ingress": {"enabled": True, "hosts": ["a.b"], "tlsSecret": "tls"}},
        {"ingress": {"tls": True}},
    ),
    Case(
        "gatewayApi.enabled is true, and the route belongs to no Gateway",
        {"gatewayApi": {"enabled": True}},
        {"gatewayApi": {"parentRefs": [{"name": "edge", "namespace": "networking"}]}},
    ),
    Case(
        "worker.extraEnv sets WORKER_CONCURRENCY, which the chart sets itself",
        worker(extraEnv=[{"name": "WORKER_CONCURRENCY", "value": "2"}]),
        worker(extraEnv=[]),
    ),
    Case(
        '"2 GB" is no amount of memory that this chart can read',
        worker(resources={"limits": {"memory": "2 GB"}}),
        worker(resources={"limits": {"memory": "2Gi"}}),
    ),
]

FAIL = re.compile(r'fail \(printf "((?:[^"\\]|\\.)*)"')
ACTION = re.compile(r"\{\{.*?\}\}|%[a-z]")


def rules() -> Iterator[str]:
    """The messages of all templates, with holes: the lines of text in _validate.tpl, and what others give to `fail`."""
    for path in sorted(path for path in (CHART / "templates").rglob("*") if path.is_file()):
        text = path.read_text()
        # The one `fail` of _validate.tpl tells what its other templates say.
        said = FAIL.findall(text) if path.name != "_validate.tpl" else validations(text)
        refusing = [
            action
            for action in re.findall(r"(?s)\{\{.*?\}\}", text)
            if re.search(r"[{(|-]\s*(fail|required)\s", action)
        ]
        assert len(refusing) == text.count("{{- fail (printf "), f"{path.name} refuses in another form"
        yield from (message.replace("\\n", " ").strip() for message in said)


def validations(text: str) -> list[str]:
    bodies = re.findall(r'(?s)\{\{- define "flowscale\.validate\.\w+" -\}\}\n(.*?)\n\{\{- end -\}\}\n', text)
    lines = [line.strip() for body in bodies for line in body.splitlines()]
    return [line for line in lines if re.sub(r"^\{\{-.*-?\}\}$", "", line)]


RULES = list(rules())


@cache
def message(number: int) -> str:
    with pytest.raises(Refused) as caught:
        render(CASES[number].values)
    return str(caught.value)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.fault[:60] for case in CASES])
def test_values_that_do_not_fit_are_refused_and_can_be_mended(number: int) -> None:
    case = CASES[number]
    assert case.fault in message(number)
    assert message(number).count("\n  - ") <= 1, "one fault is told as one"
    assert render(merged(case.values, case.cure))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_case(rule: str) -> None:
    pattern = ".*".join(re.escape(part.strip()) for part in ACTION.split(rule))
    assert any(re.search(pattern, message(number)) for number in range(len(CASES))), f"no case breaks: {rule}"


def test_there_are_rules() -> None:
    assert len(RULES) > 30


def test_all_faults_are_told_at_once() -> None:
    values = merged(merged(worker(terminationGracePeriodSeconds=60), storage("s3")), external())
    with pytest.raises(Refused) as caught:
        render(values)
    assert str(caught.value).count("\n  - ") == 3
