"""The storage that the settings name."""

from __future__ import annotations

from flowscale.settings import StorageSettings
from flowscale.storage.base import Storage
from flowscale.storage.local import LocalStorage


def open_storage(settings: StorageSettings) -> Storage:
    """`close` it at the end. Raises StorageUnavailable for a folder that cannot be had; a bucket is not asked yet."""
    if settings.type in ("local", "nfs"):
        return LocalStorage(settings.dir, shared=settings.type == "nfs")
    # Here, so that an installation without boto3 works with folders.
    from flowscale.storage.s3 import S3Place, S3Storage

    return S3Storage(S3Place.of(settings))
