"""What the operator answers over HTTP: /healthz for the kubelet, /readyz for people, /metrics for Prometheus."""

from __future__ import annotations

from aiohttp import web

from flowscale_operator.health import Health
from flowscale_operator.meters import CONTENT_TYPE, Meters


class Answering:
    """Listens from `start` to `stop`."""

    def __init__(self, host: str, port: int, health: Health, meters: Meters) -> None:
        self._host, self._port = host, port
        self._health = health
        self._meters = meters
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/livez", self._healthz)
        application.router.add_get("/readyz", self._healthz)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> int:
        """The port. Raises OSError when it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        faults = self._health.faults()
        return web.Response(text="\n".join(faults) or "ok", status=503 if faults else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._meters.exposition(), headers={"Content-Type": CONTENT_TYPE})
