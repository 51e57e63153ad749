"""A client of FlowScale's own HTTP contract: what the command line uses to talk to a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx2
from pydantic import SecretStr

from flowscale.errors import FlowScaleError, Forbidden, InvalidPath, SettingsError, Unauthorized

POLL_SECONDS = 0.2
CHUNK = 1024 * 1024


class ServerError(FlowScaleError):
    """What a server answered, or that it could not be reached; carries the server's own code."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details=details)
        self.code = code  # type: ignore[misc]  # the server's, not this class's


class Client:
    """One server. `key`: what it is told where it asks for one. Every method raises ServerError."""

    def __init__(self, url: str, key: SecretStr | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"a server's address begins with http:// or https:// (it is {url!r})")
        self.url = url
        self.http = httpx2.Client(
            base_url=url.rstrip("/"),
            timeout=httpx2.Timeout(60, connect=5),
            auth=_Bearer(key, httpx2.URL(url)) if key else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def upload(self, file: Path, on_bytes: Callable[[int], object] = lambda _: None) -> dict[str, Any]:
        """Upload a file as one form; `on_bytes` hears how many have been read so far."""
        try:
            handle = file.open("rb")
        except OSError as error:
            raise InvalidPath(f"{file} cannot be read: {error.strerror}.") from error
        with handle:
            return self._call("POST", "/api/upload", files={"file": (label(file), _Counted(handle, on_bytes))})

    def execute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", "/api/execute", json=request)

    def job(self, job_id: str) -> dict[str, Any]:
        return self._call("GET", f"/api/jobs/{job_id}")

    def jobs(self, status: str | None, limit: int) -> list[dict[str, Any]]:
        parameters: dict[str, str | int] = {"limit": limit}
        if status:
            parameters["status"] = status
        answer = self._call("GET", "/api/jobs", params=parameters)
        found: list[dict[str, Any]] = answer["jobs"]
        return found

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self._call("POST", f"/api/jobs/{job_id}/cancel")

    def retry(self, job_id: str) -> dict[str, Any]:
        return self._call("POST", f"/api/jobs/{job_id}/retry")

    def promote(self, job_id: str) -> dict[str, Any]:
        return self._steer("POST", f"jobs/{job_id}/promote")

    def remove(self, job_id: str) -> None:
        self._steer("DELETE", f"jobs/{job_id}")

    def retry_failed(self, code: str | None, project_id: str | None) -> dict[str, Any]:
        chosen = {"code": code, "projectId": project_id}
        return self._steer("POST", "retry-failed", json={k: v for k, v in chosen.items() if v is not None})

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job each time it changed, until it has ended."""
        last: dict[str, Any] | None = None
        while True:
            job = self.job(job_id)
            if job != last:
                yield job
                last = job
            if job["status"] in ("done", "error"):
                return
            time.sleep(POLL_SECONDS)

    def download(self, url: str, target: Path) -> int:
        """Fetch an output to a new file, whole or not at all; its size in bytes."""
        part = target.with_name(f".{target.name}.part")
        try:
            with self._translated(), self.http.stream("GET", url) as answer, part.open("wb") as file:
                if answer.status_code != 200:
                    answer.read()
                    raise error_of(answer)
                for piece in answer.iter_bytes(CHUNK):
                    file.write(piece)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target.stat().st_size

    def _steer(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Without a key only this machine's `flowscale dev` lets us: as its user, who must prove to be no page."""
        if self.http.auth is None:
            arguments["headers"] = {"X-CSRF-Token": self._call("GET", "/api/admin/session")["csrfToken"]}
        return self._call(method, f"/api/admin/{path}", **arguments)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with self._translated():
            answer = self.http.request(method, path, **arguments)
        if answer.status_code >= 400:
            raise error_of(answer)
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise error_of(answer)
        return body

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: httpx2.TransportError) -> ServerError:
        """The error of a request that got no answer."""
        return ServerError(
            "UNREACHABLE",
            f"{self.url} does not answer ({error}). Is the server running there? --url or FLOWSCALE_URL names another; "
            "`flowscale dev` (make dev) starts one.",
        )


class _Bearer(httpx2.Auth):
    """The key, for the server's own addresses only: an output may lie at another host, which it is none of."""

    def __init__(self, key: SecretStr, origin: httpx2.URL) -> None:
        self._key = key
        self._origin = origin

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        if _place(request.url) == _place(self._origin):
            request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


def _place(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def label(file: Path) -> str:
    """The file's name as text, whatever bytes the file system holds."""
    return file.name.encode("utf-8", "replace").decode("utf-8")


class _Counted:
    """A file that tells how far it has been read."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], object]) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._on_bytes(self._file.tell())
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


_NO_KEY = (
    "This server asks for a key: set FLOWSCALE_API_KEY to one. `flowscale keys create`, run where the server runs, "
    "makes one; its setting FLOWSCALE_ADMIN_KEY may hold one."
)
"""The server's own words are for programs, which send headers."""


def error_of(answer: httpx2.Response) -> ServerError:
    """What a refusal says; of an answer that is not FlowScale's, that it is not."""
    try:
        error = answer.json()["error"]
        message = _NO_KEY if error["code"] == Unauthorized.code else error["message"]
        if error["code"] in (Unauthorized.code, Forbidden.code) and "authorization" in answer.request.headers:
            message = f"{error['message']} It is the key in FLOWSCALE_API_KEY."
        return ServerError(error["code"], message, error.get("details"))
    except (ValueError, KeyError, TypeError):
        return ServerError(
            "UNEXPECTED_ANSWER", f"{answer.url} answered {answer.status_code}; is it a FlowScale server?"
        )
