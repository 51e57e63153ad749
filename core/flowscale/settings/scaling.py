"""Settings of the operator."""

from __future__ import annotations

from pydantic import Field

from flowscale.settings.base import Group, NotEmpty

_KUBERNETES_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"


class OperatorSettings(Group):
    """The operator, which sizes the workers of a Kubernetes cluster by the queue. It works in one namespace."""

    namespace: str | None = Field(
        None,
        alias="FLOWSCALE_OPERATOR_NAMESPACE",
        pattern=_KUBERNETES_NAME,
        description="Namespace whose WorkerScalers it obeys. Unset: POD_NAMESPACE, else that of its credentials.",
    )
    pod_namespace: str | None = Field(
        None,
        alias="POD_NAMESPACE",
        pattern=_KUBERNETES_NAME,
        description="Its own namespace, which Kubernetes' downward API gives it (metadata.namespace).",
    )
    selector: str = Field(
        "",
        alias="FLOWSCALE_OPERATOR_SELECTOR",
        max_length=1000,
        description="Labels of the WorkerScalers it obeys, as in `app.kubernetes.io/instance=blue`. Unset: all of the "
        "namespace. Two installations with queues of their own in one namespace need it, and two leases.",
    )
    lease: str = Field(
        "flowscale-operator",
        alias="FLOWSCALE_OPERATOR_LEASE",
        pattern=_KUBERNETES_NAME,
        description="Name of the Lease whose holder acts; the others stand by.",
    )
    host: NotEmpty = Field(
        "0.0.0.0",  # noqa: S104 - the kubelet and Prometheus call from outside the pod
        alias="FLOWSCALE_OPERATOR_HOST",
        description="Address on which it answers /healthz, /readyz and /metrics.",
    )
    port: int = Field(
        8080,
        alias="FLOWSCALE_OPERATOR_PORT",
        ge=0,
        le=65535,
        description="Port on which it answers them; 0 takes a free one.",
    )
