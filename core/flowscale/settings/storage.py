"""Settings of the storage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from flowscale.settings.base import Group, NotEmpty, PositiveSeconds, missing


class StorageSettings(Group):
    """Where uploads and outputs live."""

    type: Literal["local", "nfs", "s3", "r2", "supabase"] = Field(
        "local",
        alias="STORAGE_TYPE",
        description="`local`: a folder on this machine. `nfs`: a folder that all machines have mounted. `s3`, `r2`, "
        "`supabase`: a bucket, by the S3 protocol; with any of these, gateways and workers share no disk.",
    )
    dir: Path = Field(
        Path("data"),
        alias="STORAGE_DIR",
        description="Root folder of `local` and `nfs`; that of `nfs` must exist. With a bucket: of `scratch`.",
    )
    bucket: NotEmpty | None = Field(None, alias="S3_BUCKET", description="The bucket; Supabase's is `videos` if unset.")
    region: NotEmpty | None = Field(
        None, alias="S3_REGION", description="Its region. Unset: AWS_REGION, else `auto` for R2 and `us-east-1`."
    )
    aws_region: NotEmpty | None = Field(None, alias="AWS_REGION", description="Read where S3_REGION is unset.")
    endpoint_url: str | None = Field(
        None,
        alias="S3_ENDPOINT_URL",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Address of the S3 service. Unset: AWS, or what R2_ACCOUNT_ID or SUPABASE_URL say.",
    )
    access_key_id: NotEmpty | None = Field(
        None,
        alias="S3_ACCESS_KEY_ID",
        description="Key for the bucket, with its secret. Both unset: what boto3 finds (environment, files, or the "
        "role of the machine or pod, which may change without a restart).",
    )
    secret_access_key: SecretStr | None = Field(None, alias="S3_SECRET_ACCESS_KEY", description="The key's secret.")
    prefix: str = Field(
        "",
        alias="S3_PREFIX",
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?)?$",
        description="Begins every key in the bucket, so that several installations can share one.",
    )
    public_base_url: str | None = Field(
        None,
        alias="S3_PUBLIC_BASE_URL",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Address under which anyone can GET the bucket's objects (a public bucket, a CDN). Links then lead "
        "there; unset, they lead through the gateway.",
    )
    r2_account_id: str | None = Field(
        None, alias="R2_ACCOUNT_ID", pattern=r"^[A-Za-z0-9]+$", description="Gives the endpoint of `r2`."
    )
    supabase_url: str | None = Field(
        None,
        alias="SUPABASE_URL",
        pattern=r"^https?://[^\s/?#@]+/?$",
        description="Address of the Supabase project; its S3 endpoint is below it.",
    )
    supabase_service_key: SecretStr | None = Field(
        None,
        alias="SUPABASE_SERVICE_KEY",
        description="The project's service key, as a session at its S3 endpoint. S3_ACCESS_KEY_ID and "
        "S3_SECRET_ACCESS_KEY, made on the project's page for storage, win over it.",
    )
    supabase_anon_key: SecretStr | None = Field(
        None,
        alias="SUPABASE_ANON_KEY",
        description="The project's anon key, which signs what the session of SUPABASE_SERVICE_KEY asks for. Unset: "
        "that one signs itself.",
    )
    upload_expiry_seconds: PositiveSeconds = Field(
        24 * 3600.0,
        alias="FLOWSCALE_UPLOAD_EXPIRY",
        description="Seconds after which an upload is given up that was begun and not finished.",
    )
    upload_retention_seconds: PositiveSeconds | None = Field(
        None,
        alias="FLOWSCALE_UPLOAD_RETENTION",
        description="Uploads older than this many seconds are deleted, unless a job that has not ended needs them. "
        "Unset: kept.",
    )
    output_retention_seconds: PositiveSeconds | None = Field(
        None,
        alias="FLOWSCALE_OUTPUT_RETENTION",
        description="Outputs older than this many seconds are deleted; their jobs then name a file that is gone. "
        "Unset: kept.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.type in ("local", "nfs"):
            return self
        if self.bucket is None and self.type != "supabase":
            raise missing("S3_BUCKET", f"STORAGE_TYPE {self.type} needs the name of a bucket")
        if self.type == "r2" and self.r2_account_id is None and self.endpoint_url is None:
            raise missing("R2_ACCOUNT_ID", "STORAGE_TYPE r2 needs the account, or S3_ENDPOINT_URL")
        if self.type == "supabase" and self.supabase_url is None and self.endpoint_url is None:
            raise missing("SUPABASE_URL", "STORAGE_TYPE supabase needs the project's address, or S3_ENDPOINT_URL")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            absent = "S3_ACCESS_KEY_ID" if self.access_key_id is None else "S3_SECRET_ACCESS_KEY"
            raise missing(absent, "a key has an id and a secret; set both or neither")
        if self.type == "supabase" and self.access_key_id is None and self.supabase_service_key is None:
            raise missing("S3_ACCESS_KEY_ID", "STORAGE_TYPE supabase needs a key: this, or SUPABASE_SERVICE_KEY")
        return self
