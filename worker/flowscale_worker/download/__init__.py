"""Sources from other hosts: `download` is the door; where it may connect is in flowscale.outbound."""

from flowscale_worker.download.transfer import DownloadLimits, download

__all__ = ["DownloadLimits", "download"]
