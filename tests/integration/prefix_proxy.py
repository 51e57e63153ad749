"""A reverse proxy that serves the gateway below a path, and takes the path off, as an Ingress with a rewrite does."""

from __future__ import annotations

from http_relay import Answer, HttpRelay, Request


class PrefixProxy(HttpRelay):
    """Whatever does not begin with the prefix is not the gateway's, and is answered 404."""

    def __init__(self, target: int, prefix: str) -> None:
        super().__init__(target)
        self._prefix = prefix
        self.strays: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._prefix}"

    async def answer(self, request: Request) -> Answer | None:
        if not request.target.startswith(f"{self._prefix}/"):
            self.strays.append(request.target)
            return Answer(404, "NoSuchPath", "Nothing is served here.")
        request.target = request.target.removeprefix(self._prefix)
        return None
