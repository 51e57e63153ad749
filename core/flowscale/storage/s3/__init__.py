"""Storage in a bucket: S3, R2, Supabase, and whatever else speaks the S3 protocol. The only importer of boto3."""

from flowscale.storage.s3.backend import S3Storage
from flowscale.storage.s3.place import S3Place

__all__ = ["S3Place", "S3Storage"]
