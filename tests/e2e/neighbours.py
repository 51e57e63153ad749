"""What stands beside a release in its namespace: an S3 server, a Redis with TLS, a source of clips held back.

Each is a Deployment of one pod under the restricted level, and a Service of the same name.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from e2e import gate_server
from e2e.cluster import Cluster
from e2e.programs import run
from e2e.releases import REGISTRY, TAG

VALKEY = "docker.io/valkey/valkey:8.1"
VERSITYGW = "docker.io/versity/versitygw:v1"
OURS = f"{REGISTRY}/flowscale-api:{TAG}" if REGISTRY else f"docker.io/library/flowscale-api:{TAG}"
"""An image with a Python, for programs of the tests."""

EXTENSIONS = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
"""What certificates must say that Python 3.13 takes, which checks them strictly (RFC 5280)."""

BUCKET = "videos"
S3_PORT = 7070
TLS_PORT = 6380


def deployed(
    cluster: Cluster,
    namespace: str,
    name: str,
    container: Mapping[str, Any],
    port: int,
    volumes: Mapping[str, Any],
    node: str | None = None,
) -> None:
    """Applies a Deployment and its Service, and waits for both. `volumes`: mount path to the volume's source."""
    labels = {"app": name}
    mounts = [{"name": f"v{index}", "mountPath": path} for index, path in enumerate(volumes)]
    whole = {
        "name": name,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
        "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **container,
    }
    pod = {
        "containers": [whole],
        "volumes": [{"name": f"v{index}", **source} for index, source in enumerate(volumes.values())],
        "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    cluster.apply(
        namespace,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": port}]},
        },
    )
    cluster.rolled_out(namespace, f"deployment/{name}")


def secret(name: str, entries: Mapping[str, str | bytes]) -> dict[str, Any]:
    encoded = {
        key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        for key, value in entries.items()
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


class Bucket:
    """versitygw, a server of S3 over a folder, with one bucket. The key lies in the Secret `bucket`."""

    port = S3_PORT

    def __init__(self, cluster: Cluster, namespace: str, node: str | None = None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.node = node
        self.key_id = f"key{secrets.token_hex(6)}"
        self.secret = secrets.token_hex(20)
        self.endpoint = f"http://s3.{namespace}.svc:{S3_PORT}"

    def start(self) -> None:
        keys = {"access-key-id": self.key_id, "secret-access-key": self.secret}
        self.cluster.apply(self.namespace, secret("bucket", keys))
        entries = {"ROOT_ACCESS_KEY": "access-key-id", "ROOT_SECRET_KEY": "secret-access-key"}
        container = {
            "image": VERSITYGW,
            "args": ["--port", f":{S3_PORT}", "posix", "/data"],
            "env": [
                {"name": name, "valueFrom": {"secretKeyRef": {"name": "bucket", "key": key}}}
                for name, key in entries.items()
            ],
        }
        deployed(self.cluster, self.namespace, "s3", container, S3_PORT, {"/data": {"emptyDir": {}}}, self.node)
        with self.client() as client:
            client.create_bucket(Bucket=BUCKET)

    @contextmanager
    def client(self) -> Iterator[Any]:
        with self.cluster.forwarded(self.namespace, "svc/s3", S3_PORT) as url:
            client = boto3.client(
                "s3",
                endpoint_url=url,
                aws_access_key_id=self.key_id,
                aws_secret_access_key=self.secret,
                region_name="us-east-1",
                config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
            )
            try:
                yield client
            finally:
                client.close()

    def keys(self, below: str) -> frozenset[str]:
        """Of all objects whose keys begin so."""
        with self.client() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=below)
            return frozenset(entry["Key"] for page in pages for entry in page.get("Contents", ()))


class SecureRedis:
    """A Valkey of the test's own that speaks TLS alone and wants a password. Its authority (`ca.crt`) lies in the
    Secret `queue-ca`, the password in the Secret `queue` (`redis-password`)."""

    def __init__(self, cluster: Cluster, namespace: str, node: str | None = None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.node = node
        self.host = f"queue.{namespace}.svc"

    def start(self, folder: Path) -> None:
        """`folder` takes the keys."""
        authority, key = self._certify(folder)
        self.cluster.apply(
            self.namespace,
            secret("queue-ca", {"ca.crt": authority}),
            secret("queue-tls", {"tls.crt": (folder / "server.crt").read_bytes(), "tls.key": key}),
            secret("queue", {"redis-password": secrets.token_hex(16)}),
        )
        script = (
            f"exec valkey-server - --port 0 --tls-port {TLS_PORT} --tls-cert-file /tls/tls.crt "
            "--tls-key-file /tls/tls.key --tls-ca-cert-file /tls/tls.crt --tls-auth-clients no --dir /data "
            '--appendonly yes --maxmemory 100mb --maxmemory-policy noeviction --save "" <<END\n'
            "requirepass $PASSWORD\nEND"
        )
        container = {
            "image": VALKEY,
            "command": ["sh", "-c", script],
            "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "queue", "key": "redis-password"}}}],
        }
        volumes = {"/tls": {"secret": {"secretName": "queue-tls"}}, "/data": {"emptyDir": {}}}
        deployed(self.cluster, self.namespace, "queue", container, TLS_PORT, volumes, self.node)

    def _certify(self, folder: Path) -> tuple[bytes, bytes]:
        """The authority's certificate, and the server's key."""
        settings = folder / "openssl.cnf"
        settings.write_text(EXTENSIONS + f"subjectAltName = DNS:{self.host}\n")
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        words += ["-days", "2", "-config", str(settings)]
        ca_key, ca, key, mine = (str(folder / name) for name in ("ca.key", "ca.crt", "server.key", "server.crt"))
        run([*words, "-extensions", "authority", "-subj", "/CN=e2e authority", "-keyout", ca_key, "-out", ca])
        signed = ["-CA", ca, "-CAkey", ca_key, "-extensions", "server", "-subj", "/CN=queue"]
        run([*words, *signed, "-keyout", key, "-out", mine])
        return Path(ca).read_bytes(), Path(key).read_bytes()


class Gate:
    """A source that renders wait for until `open` (gate_server.py); `url` is for `inputFileUrl`."""

    def __init__(self, cluster: Cluster, namespace: str, node: str | None = None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.node = node
        self.url = f"http://gate.{namespace}.svc:{gate_server.PORT}/clip.mp4"

    def start(self, clip: Path) -> None:
        """`clip` is below 700 KB: it lies in a Secret."""
        files = {"gate_server.py": Path(gate_server.__file__).read_bytes(), "clip.mp4": clip.read_bytes()}
        self.cluster.apply(self.namespace, secret("gate", files))
        container = {"image": OURS, "command": ["python", "/gate/gate_server.py"]}
        volumes: dict[str, Any] = {"/gate": {"secret": {"secretName": "gate"}}, "/tmp": {"emptyDir": {}}}
        deployed(self.cluster, self.namespace, "gate", container, gate_server.PORT, volumes, self.node)

    def open(self) -> None:
        (pod,) = self.cluster.core.list_namespaced_pod(self.namespace, label_selector="app=gate").items
        self.cluster.execute(self.namespace, pod.metadata.name, "touch", str(gate_server.OPEN))
