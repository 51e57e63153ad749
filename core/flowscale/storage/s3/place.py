"""Where a bucket is and who we are there, from the settings of three kinds of service."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flowscale.settings import StorageSettings


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket behind an S3 endpoint. `endpoint` None is AWS; without a key boto3 looks for one (instance roles)."""

    bucket: str
    region: str = "us-east-1"
    endpoint: str | None = None
    key_id: str | None = None
    secret: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)  # a session token
    prefix: str = ""  # empty, or ends in a slash
    public_base: str | None = None  # without a slash at its end

    @classmethod
    def of(cls, settings: StorageSettings) -> S3Place:
        """Of settings whose type is s3, r2 or supabase; they have been checked for what that type needs."""
        secret = settings.secret_access_key.get_secret_value() if settings.secret_access_key else None
        key_id, session, endpoint, region = settings.access_key_id, None, settings.endpoint_url, None
        if settings.type == "r2":
            region = "auto"
            endpoint = endpoint or f"https://{settings.r2_account_id}.r2.cloudflarestorage.com"
        elif settings.type == "supabase":
            project = (settings.supabase_url or "").rstrip("/")
            endpoint = endpoint or f"{project}/storage/v1/s3"
            if key_id is None and settings.supabase_service_key is not None:
                # A session there: the project's reference is the id, its anon key the secret, and the token says who
                # it is. Source: Supabase's guide to S3 authentication.
                key_id = (urlsplit(project).hostname or "supabase").split(".")[0]
                session = settings.supabase_service_key.get_secret_value()
                secret = (settings.supabase_anon_key or settings.supabase_service_key).get_secret_value()
        return cls(
            bucket=settings.bucket or "videos",
            region=settings.region or region or settings.aws_region or "us-east-1",
            endpoint=endpoint.rstrip("/") if endpoint else None,
            key_id=key_id,
            secret=secret,
            session=session,
            prefix=f"{settings.prefix.rstrip('/')}/" if settings.prefix else "",
            public_base=settings.public_base_url.rstrip("/") if settings.public_base_url else None,
        )
