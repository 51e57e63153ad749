"""Real queue servers for tests: Redis, Valkey and sentinels, and all that can happen to their processes.

    with RedisServer() as server:
        server.kill()
        server.start()

Each has a free port of the loopback address and a folder of its own. Both are gone after the `with`; and the kernel
ends the process with the thread that started it, so that a killed test run leaves none behind: start servers from the
main thread, or from one that outlives them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ResponseError
from redis.retry import Retry

from flowscale.settings import RedisSettings

HOST = "127.0.0.1"

PATIENCE_SECONDS = 60.0
"""For a server to start, to stop, to load its data: far beyond what it takes, so that only a hang ends it."""

_SERVERS = Path(__file__).parents[1] / ".tools" / "servers"
REDIS_7 = "redis-server"  # Debian 12's; a newer one where Debian is newer
VALKEY = str(_SERVERS / "valkey" / "bin" / "valkey-server")
REDIS_8 = str(_SERVERS / "redis8" / "bin" / "redis-server")
"""`scripts/bootstrap redis servers` brings them."""


class Certificates(NamedTuple):
    """A certificate that is its own authority, for localhost and 127.0.0.1 unless made for other names."""

    certificate: Path
    key: Path


def make_certificates(folder: Path, names: str = f"DNS:localhost,IP:{HOST}") -> Certificates:
    """Two files in the folder, which must exist."""
    made = Certificates(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=queue.example"]
    command += ["-addext", f"subjectAltName={names}", "-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


class Server:
    """One process with a configuration file. What RedisServer and Sentinel have in common."""

    def __init__(self, program: str, password: str | None, tls: Certificates | None) -> None:
        self.port = free_port()
        self.password = password
        self.tls = tls
        self.folder = Path(tempfile.mkdtemp(prefix="flowscale-server-"))
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.discard()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def configure(self, line: str) -> None:
        """A further line of its configuration, from its next start on."""
        with (self.folder / "conf").open("a") as conf:
            conf.write(f"{line}\n")

    @property
    def log(self) -> str:
        """All it logged since it was made."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it where it left off, on the same port, and wait until it answers."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it, and do not wait."""
        assert self._process is None, "the server runs already"
        command = ["setpriv", "--pdeathsig", "KILL", "--", self._program, str(self.folder / "conf"), *self._words()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self) -> None:
        """Until it answers PING, with all its data loaded."""
        assert self._process is not None, "the server does not run"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"{self._program} ended: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"{self._program} does not answer: {self.log[-2000:]}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an operator would (SIGTERM); what it persists is written."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, also when frozen."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, new ones are made by the kernel, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def discard(self) -> None:
        """Kill it if it runs, and remove its folder."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def admin(self) -> redis.Redis:
        """A plain client of its default user, for a test's own questions; the caller closes it."""
        options: dict[str, Any] = {}
        if self.tls:
            options = {"ssl": True, "ssl_ca_certs": str(self.tls.certificate), "ssl_check_hostname": False}
        return redis.Redis(
            host=HOST,
            port=self.port,
            password=self.password,
            protocol=2,
            socket_timeout=5,
            driver_info=None,
            retry=Retry(NoBackoff(), 0),
            **options,
        )

    def _answers(self) -> bool:
        with self.admin() as admin:
            try:
                return bool(admin.ping())
            except NoPermissionError:
                return True
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server does not run"
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)  # one that is frozen cannot hear SIGTERM
        self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def _write(self, lines: Sequence[str]) -> None:
        port = [f"port {self.port}"]
        if self.tls:
            port = ["port 0", f"tls-port {self.port}", "tls-auth-clients no", "tls-replication yes"]
            port += [f"tls-cert-file {self.tls.certificate}", f"tls-key-file {self.tls.key}"]
            port += [f"tls-ca-cert-file {self.tls.certificate}"]
        words = [f"requirepass {self.password}"] if self.password else []
        text = "\n".join([f"bind {HOST}", f"dir {self.folder}", "daemonize no", *port, *words, *lines])
        (self.folder / "conf").write_text(f"{text}\n")

    def _words(self) -> Sequence[str]:
        return ()


class RedisServer(Server):
    """A Redis or Valkey.

    `users` are lines of its ACL, as in `alice on >password ~{flowscale}* +@all`; the default user stays and is the
    tests' own. `forbidden` commands do not exist for anybody. `config` holds further lines of its configuration.
    """

    def __init__(
        self,
        program: str = REDIS_7,
        *,
        append_only: bool = True,
        password: str | None = None,
        users: Sequence[str] = (),
        tls: Certificates | None = None,
        maxmemory: int | None = None,
        maxmemory_policy: str = "noeviction",
        forbidden: Sequence[str] = (),
        replica_of: RedisServer | None = None,
        config: Sequence[str] = (),
    ) -> None:
        super().__init__(program, password, tls)
        lines = ['save ""', f"appendonly {'yes' if append_only else 'no'}", "appendfsync everysec"]
        lines += [f"user {user}" for user in users]
        lines += [f'rename-command {command} ""' for command in forbidden]
        if maxmemory is not None:
            lines += [f"maxmemory {maxmemory}", f"maxmemory-policy {maxmemory_policy}"]
        if replica_of is not None:
            lines += [f"replicaof {HOST} {replica_of.port}"]
        if password is not None:
            lines += [f"masterauth {password}"]  # a master may become a replica
        self._write([*lines, *config])

    @property
    def url(self) -> str:
        """With the default user's password."""
        credentials = f":{self.password}@" if self.password else ""
        return f"{'rediss' if self.tls else 'redis'}://{credentials}{HOST}:{self.port}/0"

    def settings(self, **changes: Any) -> RedisSettings:
        """To reach it as its default user; `changes` are fields of RedisSettings."""
        fields: dict[str, Any] = {"host": HOST, "port": self.port, "password": self.password}
        if self.tls:
            fields |= {"tls": True, "ca_file": self.tls.certificate}
        return RedisSettings.model_validate(fields | changes)

    @property
    def run_id(self) -> str:
        """Of this start."""
        return str(self.info()["run_id"])

    def info(self) -> dict[str, Any]:
        with self.admin() as admin:
            answer: dict[str, Any] = admin.info()
            return answer

    def forget(self, prefix: str) -> int:
        """Delete every key that begins so, and say how many there were."""
        with self.admin() as admin:
            keys = list(admin.scan_iter(match=f"{prefix}*", count=1000))
            for at in range(0, len(keys), 1000):
                admin.unlink(*keys[at : at + 1000])
            return len(keys)

    def cut_aof_tail(self, count: int) -> None:
        """Take the last bytes off the append-only file of a server that does not run, as a power loss may."""
        assert self._process is None, "stop or kill the server first"
        newest = max((self.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
        size = newest.stat().st_size
        assert size >= count, f"{newest.name} has only {size} bytes"
        os.truncate(newest, size - count)


class Sentinel(Server):
    """Watches a master, and makes a replica the master when it is gone.

    `login` is sent to the servers it watches, `password` asked of its own clients.
    """

    def __init__(
        self,
        master: RedisServer,
        *,
        service: str = "flowscale",
        quorum: int = 1,
        down_after_ms: int = 500,
        password: str | None = None,
        tls: Certificates | None = None,
        program: str = REDIS_7,
    ) -> None:
        super().__init__(program, password, tls)
        self.service = service
        self._master = master
        lines = [
            f"sentinel monitor {service} {HOST} {master.port} {quorum}",
            f"sentinel down-after-milliseconds {service} {down_after_ms}",
            f"sentinel failover-timeout {service} 5000",
        ]
        if master.password:
            lines += [f"sentinel auth-pass {service} {master.password}"]
        self._write(lines)

    @property
    def url(self) -> str:
        """With the password of the master, which is what REDIS_URL holds."""
        credentials = f":{self._master.password}@" if self._master.password else ""
        return f"{'rediss' if self.tls else 'redis'}+sentinel://{credentials}{HOST}:{self.port}/{self.service}"

    def settings(self, **changes: Any) -> RedisSettings:
        """To reach the master through it."""
        fields: dict[str, Any] = {"url": self.url}
        if self.tls:
            fields["ca_file"] = self.tls.certificate
        return RedisSettings.model_validate(fields | changes)

    def master_port(self) -> int:
        """Where it says the master is."""
        with self.admin() as admin:
            answer: Sequence[bytes] = admin.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
            return int(answer[1])

    def fail_over(self) -> bool:
        """Order it to make a replica the master. False: it knows of none that is fit, yet."""
        with self.admin() as admin:
            try:
                admin.execute_command("SENTINEL", "FAILOVER", self.service)
            except ResponseError as error:
                if "NOGOODSLAVE" in str(error):
                    return False
                raise
            return True

    def knows_a_replica(self) -> bool:
        """Whether a failover has somewhere to go."""
        with self.admin() as admin:
            answer: Sequence[object] = admin.execute_command("SENTINEL", "REPLICAS", self.service)
            return bool(answer)

    def _words(self) -> Sequence[str]:
        return ("--sentinel",)


def free_port() -> int:
    """A port of the loopback address that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def shared_server(program: str = REDIS_7) -> RedisServer:
    """One plain server of each program, for all tests of this process that keep to a prefix of their own and do it no
    harm."""
    server = RedisServer(program)
    atexit.register(server.discard)
    server.start()
    return server
