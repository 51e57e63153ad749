"""The operator's figures, on the cluster that KUBECONFIG names, with the images and the chart in it (scripts/cluster).

    PYTHONPATH=tests .venv/bin/python -m bench.scaling [--only bursts|rest|keda] [--runs 30] [--real 3]

    bursts   from just before the first of 1, 20 or 100 jobs is enqueued (all at once, by a gateway's own code in its
             pod) until a watch of the Deployment shows the replicas they ask for, and in how many patches. The pods of
             these runs find no node, so that a hundred cost nothing. Then the same with the operator's subscription
             to wake-ups cut silently, so that only its own looks remain. Then, `--real` times, with workers that
             start: until so many containers run.
    rest     an operator with nothing to do, with 1 and with 100 WorkerScalers: memory, processor time, and what the
             API server counted as written by anybody in a minute of that which an operator may write
    keda     the first runs of bursts with KEDA in the operator's place, where it is installed

Prints rows as they come; asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster import COMPONENT, Cluster
from e2e.followers import Follower
from e2e.neighbours import Gate
from e2e.partitions import silenced
from e2e.pod_processes import PodProcesses
from e2e.programs import ProgramFailed
from e2e.releases import ROOT, Release, merged
from e2e.renders import Service
from e2e.scalers import Scaler, installed, scaled, scaler_of
from e2e.waiting import until

SIZES = (1, 20, 100)
REAL_SIZES = (1, 20)
CUT_RUNS = 10
REST_SECONDS = 60.0
SETTLE_SECONDS = 20.0
MANY = 100

NOWHERE = {"flowscale.dev/bench": "nowhere"}
"""A label that no node has."""

WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
WRITABLE = {"workerscalers", "deployments", "pods", "events", "leases"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["bursts", "rest", "keda"])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--real", type=int, default=3)
    arguments = parser.parse_args()
    cluster = Cluster()
    if arguments.only in (None, "bursts"):
        bursts(cluster, arguments.runs)
        real_pods(cluster, arguments.real)
    if arguments.only in (None, "rest"):
        rest(cluster)
    if arguments.only in (None, "keda"):
        keda(cluster, arguments.runs)


def row(what: str, figure: str) -> None:
    print(f"{what:<70}  {figure}", flush=True)


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Median, 99th percentile (of few runs: the most), least and most."""
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return (
        f"p50 {statistics.median(ordered):.3f} {unit}, p99 {high:.3f} {unit}, "
        f"{ordered[0]:.3f} to {ordered[-1]:.3f}, {len(ordered)} runs"
    )


class BurstSource:
    """burst_source.py in a gateway's pod."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def enqueue(self, count: int) -> tuple[float, float]:
        """When it began, and when the last was accepted (Unix seconds)."""
        began, accepted = self._ask(str(count))
        return began, accepted

    def cancel(self) -> None:
        self._ask("cancel")

    def _ask(self, word: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def burst_source(cluster: Cluster, namespace: str) -> Iterator[BurstSource]:
    pod = cluster.ready_pods(namespace, "api")[0].metadata.name
    program = (Path(__file__).parent / "burst_source.py").read_text()
    words = ["--namespace", namespace, "exec", "-i", pod, "--", "python", "-u", "-c", program]
    command = ["kubectl", "--kubeconfig", cluster.kubeconfig, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if line != "ready\n":
            raise ProgramFailed(f"burst_source.py did not start: {line}{process.stdout.read()}")
        yield BurstSource(process)
    finally:
        process.kill()
        process.communicate()


# --- bursts


def bursts(cluster: Cluster, runs: int) -> None:
    values = scaled(most=max(SIZES), idle_seconds=1, worker={"nodeSelector": NOWHERE})
    with installed(cluster, "bursts", values) as scaler, burst_source(cluster, scaler.namespace) as source:
        for size in SIZES:
            measure(scaler, source, size, runs, f"{size} jobs", nullcontext)
        for size in SIZES:
            measure(
                scaler,
                source,
                size,
                min(runs, CUT_RUNS),
                f"{size} jobs, subscription cut silently",
                partial(deaf, cluster, scaler),
            )


def measure(
    scaler: Scaler,
    source: BurstSource,
    size: int,
    runs: int,
    what: str,
    fault: Callable[[], AbstractContextManager[None]],
) -> None:
    patched, enqueuing, patches = [], [], []
    for _ in range(runs):
        with fault():
            since = time.time()
            began, accepted = source.enqueue(size)
            change = scaler.wait_for_change(since, size)
        patched.append(change.at - began)
        enqueuing.append(accepted - began)
        patches.append(len([each for each in scaler.changes(since) if each.at <= change.at]))
        source.cancel()
        scaler.wait_for_replicas(0)
    row(f"{what}: enqueue to patched replicas", spread(patched))
    row("  of that, until the last was accepted", spread(enqueuing))
    row("  patches", f"median {statistics.median(patches):g}, most {max(patches)}")


@contextmanager
def deaf(cluster: Cluster, scaler: Scaler) -> Iterator[None]:
    """The operator's subscriptions go silent; nothing tells it so."""
    address = scaler.leader().status.pod_ip
    (server,) = cluster.ready_pods(scaler.namespace, "redis")
    words = 'REDISCLI_AUTH="$ADMIN_PASSWORD" valkey-cli --no-auth-warning client list type pubsub'
    listed = cluster.execute(scaler.namespace, server.metadata.name, "sh", "-c", words)
    ends = [word.removeprefix("addr=") for word in listed.split() if word.startswith("addr=")]
    ports = [int(end.rpartition(":")[2]) for end in ends if end.rpartition(":")[0] == address]
    assert ports, f"the operator at {address} subscribes to nothing: {ends}"
    with silenced(server, ports):
        yield


def real_pods(cluster: Cluster, runs: int) -> None:
    """With workers that start, on images that are there."""
    with installed(cluster, "real", scaled(most=max(REAL_SIZES), idle_seconds=1)) as scaler:
        gate = Gate(cluster, scaler.namespace)
        gate.start(ROOT / ".cache" / "clips" / "bikes.mp4")
        pods = f"/api/v1/namespaces/{scaler.namespace}/pods"
        url = cluster.node_port(scaler.namespace, scaler.release.component("api"), 80)
        with Follower(cluster, pods, f"{COMPONENT}=worker") as workers, Service(url) as service:
            service.wait_until_well()
            for size in REAL_SIZES:
                real_runs(cluster, scaler, gate, workers, service, size, runs)


def real_runs(
    cluster: Cluster, scaler: Scaler, gate: Gate, workers: Follower, service: Service, size: int, runs: int
) -> None:
    patched, first, last = [], [], []
    for _ in range(runs):
        began = time.time()
        with ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(lambda _: service.execute(inputFileUrl=gate.url), range(size)))
        patched.append(scaler.wait_for_change(began, size).at - began)
        moments = until(partial(when_running, workers, began, size), f"{size} workers to run")
        first.append(moments[0] - began)
        last.append(moments[size - 1] - began)
        for job in jobs:
            service.cancel(job)
        scaler.wait_for_replicas(0)
        until(lambda: not cluster.pods(scaler.namespace, "worker"), "all workers to be gone")
    row(f"{size} jobs by HTTP, workers that start: until patched", spread(patched))
    row("  until the first worker runs", spread(first))
    row(f"  until {size} run", spread(last))


def when_running(workers: Follower, since: float, count: int) -> list[float] | None:
    """When the workers that are new since then began to run, if there are so many (Unix seconds, in their order)."""
    found: dict[str, float] = {}
    for each in workers.seen:
        if each.at >= since and (each.object.get("status") or {}).get("phase") == "Running":
            found.setdefault(each.name, each.at)
    return sorted(found.values()) if len(found) >= count else None


# --- rest


def rest(cluster: Cluster) -> None:
    with installed(cluster, "rest", scaled(idle_seconds=1)) as scaler:
        at_rest(cluster, scaler, 1)
        multiply(cluster, scaler, MANY)
        at_rest(cluster, scaler, MANY)


def at_rest(cluster: Cluster, scaler: Scaler, count: int) -> None:
    time.sleep(SETTLE_SECONDS)
    operator = scaler.leader()
    processes = PodProcesses(operator)
    counted, own, used = writes(cluster), own_writes(scaler, operator), processes.processor_seconds()
    began = time.monotonic()
    time.sleep(REST_SECONDS)
    took = time.monotonic() - began
    share = (processes.processor_seconds() - used) / took
    by_server = {key: value - counted.get(key, 0) for key, value in writes(cluster).items()}
    made = own_writes(scaler, operator) - own
    row(f"{count} WorkerScalers at rest: memory", f"{processes.resident_bytes() / 2**20:.0f} MiB")
    row(f"  share of a core over {took:.0f} s", f"{share:.2%}")
    row("  writes to the API, by the operator's own count", f"{made:.0f}")
    told = ", ".join(f"{key} {value:.0f}" for key, value in sorted(by_server.items()) if value) or "none"
    row("  writes by anybody of what it may write, by the API server's count", told)


def writes(cluster: Cluster) -> Mapping[str, float]:
    """What the API server counted since it began. Nodes renew their own leases by PUT, which operators do not use."""
    found: dict[str, float] = {}
    text = cluster.kubectl("get", "--raw", "/metrics")
    lines = "\n".join(line for line in text.splitlines() if line.startswith("apiserver_request_total"))
    for family in text_string_to_metric_families(lines + "\n"):
        for sample in family.samples:
            verb, resource = sample.labels["verb"], sample.labels["resource"]
            if verb in WRITES and resource in WRITABLE and (verb, resource) != ("PUT", "leases"):
                key = "/".join(filter(None, [resource, sample.labels["subresource"]]))
                found[f"{verb} {key}"] = found.get(f"{verb} {key}", 0.0) + sample.value
    return found


def own_writes(scaler: Scaler, operator: Any) -> float:
    counted = scaler.metrics(operator).items()
    return sum(
        value
        for (name, labels), value in counted
        if name == "flowscale_operator_api_requests_total" and dict(labels)["verb"] in WRITES
    )


def multiply(cluster: Cluster, scaler: Scaler, count: int) -> None:
    """So many WorkerScalers, each with a Deployment of its own that has no replicas, which the operator may size."""
    mine = json.loads(
        cluster.kubectl("--namespace", scaler.namespace, "get", "workerscaler", scaler.name, "-o", "json")
    )
    names = [f"more-{number}" for number in range(1, count)]
    objects = rights(scaler, names)
    for name in names:
        labels = {"app": name}
        container = {
            "name": "none",
            "image": "none",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        secure = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "securityContext": secure}}
        objects += [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": mine["apiVersion"],
                "kind": mine["kind"],
                "metadata": {"name": name, "labels": mine["metadata"]["labels"]},
                "spec": merged(mine["spec"], {"targetRef": {"name": name}, "replicas": {"min": 0}}),
            },
        ]
    cluster.apply(scaler.namespace, *objects)

    def all_ready() -> bool:
        words = ("--namespace", scaler.namespace, "get", "workerscalers", "--output", "json")
        items = json.loads(cluster.kubectl(*words))["items"]
        ready = [
            each
            for item in items
            for each in (item.get("status") or {}).get("conditions", ())
            if each["type"] == "Ready" and each["status"] == "True"
        ]
        return len(items) == count and len(ready) == count

    until(all_ready, f"{count} WorkerScalers to be ready")


def rights(scaler: Scaler, targets: Sequence[str]) -> list[dict[str, Any]]:
    """What the chart's Role grants for its own target, for these."""
    account = scaler.release.component("operator")
    rules = [
        {"apiGroups": ["apps"], "resources": [resource], "resourceNames": [*targets], "verbs": [verb]}
        for resource, verb in (("deployments", "get"), ("deployments/scale", "patch"), ("deployments/status", "patch"))
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": "more"}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "more"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "more"},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        },
    ]


# --- KEDA


def keda(cluster: Cluster, runs: int) -> None:
    try:
        cluster.kubectl("get", "customresourcedefinition", "scaledobjects.keda.sh")
    except ProgramFailed:
        row("KEDA", "not installed in this cluster")
        return
    values = scaled(most=max(SIZES), idle_seconds=1, worker={"nodeSelector": NOWHERE}, autoscaling={"mode": "keda"})
    with cluster.namespace("keda") as namespace:
        release = Release(cluster, namespace)
        release.install(values)
        with scaler_of(cluster, release) as scaler, burst_source(cluster, namespace) as source:
            scaler.wait_for_replicas(0)
            for size in SIZES:
                measure(scaler, source, size, runs, f"KEDA, {size} jobs", nullcontext)
        release.uninstall()


if __name__ == "__main__":
    main()
