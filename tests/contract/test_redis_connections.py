"""The ways to the queue's server, over real servers and real faults: who is let in, how long a call takes at most,
what is said of a fault, and that calls succeed again when it is over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from redis import asyncio as aio

from fault_proxy import FaultProxy
from flowscale.errors import FlowScaleError, QueueFull, QueueUnavailable
from flowscale.queues.redis import connections
from flowscale.queues.redis.connections import as_fault, describe, gateway_client, in_time, worker_client
from flowscale.queues.redis.faults import AWAY, FULL
from flowscale.queues.redis.server import facts_from, read_facts, read_facts_now, warnings
from flowscale.settings import RedisSettings
from redis_server import REDIS_7, REDIS_8, VALKEY, RedisServer, Sentinel, make_certificates

PROMISE_SECONDS = 2.5
"""A client of the gateway is told 503 within 2 s; this is generous to a machine under load."""

SOON_SECONDS = 60.0
SECRET = "hunter2"
KEY = "{flowscale}:test"
ADD_ONE = "#!lua\nreturn redis.call('INCR', KEYS[1])"
ACL_USER = f"alice on >{SECRET} ~{{flowscale}}* &{{flowscale}}* +@all -@dangerous +info"

Form = Callable[[ExitStack, Path], RedisSettings]


def plain(stack: ExitStack, _: Path, **options: Any) -> RedisSettings:
    return stack.enter_context(RedisServer(**options)).settings()


def user(stack: ExitStack, _: Path) -> RedisSettings:
    server = stack.enter_context(RedisServer(password="other", users=[ACL_USER]))
    return server.settings(username="alice", password=SECRET)


def url(stack: ExitStack, _: Path) -> RedisSettings:
    server = stack.enter_context(RedisServer(password=SECRET))
    return RedisSettings.model_validate({"url": f"redis://:{SECRET}@localhost:{server.port}/3", "host": "nowhere"})


def tls(stack: ExitStack, folder: Path) -> RedisSettings:
    server = stack.enter_context(RedisServer(password=SECRET, tls=make_certificates(folder)))
    return server.settings(host="localhost")


def tls_url(stack: ExitStack, folder: Path) -> RedisSettings:
    server = stack.enter_context(RedisServer(password=SECRET, tls=make_certificates(folder)))
    return RedisSettings.model_validate({"url": server.url, "ca_file": server.tls.certificate if server.tls else None})


def sentinel(stack: ExitStack, _: Path) -> RedisSettings:
    master = stack.enter_context(RedisServer(password=SECRET))
    return stack.enter_context(Sentinel(master)).settings()


def sentinel_that_knows_no_users(stack: ExitStack, _: Path) -> RedisSettings:
    watching = stack.enter_context(Sentinel(stack.enter_context(RedisServer(users=[ACL_USER]))))
    url = f"redis+sentinel://alice:{SECRET}@127.0.0.1:{watching.port}/{watching.service}"
    return RedisSettings.model_validate({"url": url})


def sentinel_with_password_and_tls(stack: ExitStack, folder: Path) -> RedisSettings:
    certificates = make_certificates(folder)
    master = stack.enter_context(RedisServer(password=SECRET, tls=certificates))
    return stack.enter_context(Sentinel(master, password=SECRET, tls=certificates)).settings()


def dead_sentinels_first(stack: ExitStack, _: Path) -> RedisSettings:
    """Two of three do not answer: one is stopped, one is in a black hole."""
    master = stack.enter_context(RedisServer())
    watching = [stack.enter_context(Sentinel(master)) for _ in range(3)]
    proxy = stack.enter_context(FaultProxy(watching[1].port))
    proxy.black_hole()
    watching[0].stop()
    hosts = f"127.0.0.1:{watching[0].port},127.0.0.1:{proxy.port},127.0.0.1:{watching[2].port}"
    return RedisSettings.model_validate({"url": f"redis+sentinel://{hosts}/flowscale"})


FORMS: dict[str, Form] = {
    "plain": plain,
    "password": lambda stack, folder: plain(stack, folder, password=SECRET),
    "a user of the prefix's keys only": user,
    "url": url,
    "tls": tls,
    "tls by url": tls_url,
    "sentinel": sentinel,
    "sentinel that knows no users": sentinel_that_knows_no_users,
    "sentinel with password and tls": sentinel_with_password_and_tls,
    "dead sentinels first": dead_sentinels_first,
    "no CONFIG, CLIENT or HELLO": lambda stack, folder: plain(stack, folder, forbidden=["CONFIG", "CLIENT", "HELLO"]),
    "valkey": lambda stack, folder: plain(stack, folder, program=VALKEY, password=SECRET),
    "redis 8": lambda stack, folder: plain(stack, folder, program=REDIS_8, password=SECRET),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@asynccontextmanager
async def gateway(settings: RedisSettings) -> AsyncIterator[aio.Redis]:
    client = gateway_client(settings)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
async def test_each_form_serves_gateway_and_worker(form: Form, stack: ExitStack, tmp_path: Path) -> None:
    settings = form(stack, tmp_path)
    async with gateway(settings) as ours:
        assert await ours.set(KEY, b"\xff\x00")
        assert await ours.get(KEY) == b"\xff\x00"
        assert await ours.eval(ADD_ONE, 1, f"{KEY}:count") == 1
        async with ours.pubsub() as pubsub:
            await pubsub.subscribe("{flowscale}:news")
            assert await heard(pubsub) == ("subscribe", 1)
            with worker_client(settings) as theirs, theirs.pipeline(transaction=True) as pipeline:
                pipeline.get(KEY).incr(f"{KEY}:count").publish("{flowscale}:news", "told")
                assert pipeline.execute() == [b"\xff\x00", 2, 1]
                facts = read_facts_now(theirs)
            assert await heard(pubsub) == ("message", b"told")
        assert (await read_facts(ours)).run_id == facts.run_id
    for shown in (describe(settings), repr(settings), repr(ours), repr(theirs)):
        assert SECRET not in shown


async def heard(pubsub: aio.client.PubSub) -> tuple[str, object]:
    async with asyncio.timeout(SOON_SECONDS):
        while (message := await pubsub.get_message(timeout=1.0)) is None:
            pass
    return message["type"], message["data"]


def test_connections_bear_the_name_of_their_half(stack: ExitStack) -> None:
    server = stack.enter_context(RedisServer())
    with worker_client(server.settings()) as ours, server.admin() as admin:
        ours.ping()
        assert "flowscale-worker" in {client["name"] for client in admin.client_list()}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (RedisSettings(host="queue", db=2), "redis://queue:6379/2"),
        (RedisSettings(host="fd00::1", tls=True), "rediss://[fd00::1]:6379/0"),
        (
            RedisSettings.model_validate({"url": f"redis+sentinel://a:{SECRET}@one,two:1/main/3"}),
            "redis+sentinel://one:26379,two:1/main/3",
        ),
    ],
)
def test_an_address_is_described_without_its_secrets(settings: RedisSettings, where: str) -> None:
    assert describe(settings) == where


# --- faults of the network and of the process: an error in time, and recovery by itself ---

FAULTS: dict[str, tuple[Callable[[RedisServer, FaultProxy], None], Callable[[RedisServer, FaultProxy], None], str]] = {
    "frozen": (lambda server, _: server.freeze(), lambda server, _: server.thaw(), "did not answer in time"),
    "killed": (lambda server, _: server.kill(), lambda server, _: server.start(), "cannot be reached"),
    "refused": (lambda _, proxy: proxy.refuse(), lambda _, proxy: proxy.pass_through(), "cannot be reached: nothing"),
    "black hole": (
        lambda _, proxy: proxy.black_hole(),
        lambda _, proxy: proxy.pass_through(),
        "did not answer in time",
    ),
    "lost": (lambda _, proxy: proxy.drop_answers(), lambda _, proxy: proxy.pass_through(), "did not answer in time"),
    "slow": (lambda _, proxy: proxy.delay(2.0), lambda _, proxy: proxy.pass_through(), "did not answer in time"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("used_before", [True, False])
async def test_a_fault_is_told_in_time_and_forgotten_when_it_is_over(
    fault: tuple[Callable[..., None], Callable[..., None], str],
    used_before: bool,
    own_redis: RedisServer,
    fault_proxy: FaultProxy,
) -> None:
    begin, end, sentence = fault
    settings = own_redis.settings(port=fault_proxy.port)
    async with gateway(settings) as ours:
        with worker_client(settings) as theirs:
            if used_before:
                await asyncio.gather(*(ours.ping() for _ in range(5)))
                theirs.ping()
            begin(own_redis, fault_proxy)
            for call in (lambda: ours.incr(KEY), lambda: pipelined(ours), lambda: ours.get(KEY)):
                told = await refused_in_time(call, settings)
                assert sentence in told.message
            if sentence != "did not answer in time" or not used_before:
                assert sentence in worker_fault(theirs, settings).message
            end(own_redis, fault_proxy)
            await eventually(lambda: ours.set(KEY, "1"))
            assert theirs.get(KEY) == b"1"


async def pipelined(client: aio.Redis) -> object:
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.get(KEY)
        pipeline.get(KEY)
        return await pipeline.execute(raise_on_error=False)


async def refused_in_time(call: Callable[[], Awaitable[object]], settings: RedisSettings) -> FlowScaleError:
    """What is said of a call of the gateway, which must fail, and within what it promises."""
    # One that does not end by itself raises Python's TimeoutError here, which is none of these.
    with pytest.raises(redis.RedisError) as caught:
        async with asyncio.timeout(PROMISE_SECONDS):
            await call()
    return checked(as_fault(caught.value, describe(settings)))


def worker_fault(client: redis.Redis, settings: RedisSettings) -> FlowScaleError:
    with pytest.raises(redis.RedisError) as caught:
        client.set(KEY, "0")
    return checked(as_fault(caught.value, describe(settings)))


def checked(fault: FlowScaleError) -> FlowScaleError:
    """One sentence, without a secret; and one for strangers, who learn nothing of the server."""
    assert SECRET not in fault.message
    assert fault.public in (AWAY, FULL)
    assert "\n" not in fault.message
    assert fault.message.endswith(".")
    assert isinstance(fault, QueueUnavailable | QueueFull)
    return fault


async def eventually(call: Callable[[], Awaitable[Any]]) -> Any:
    """The first answer of a call that may fail at first."""
    deadline = time.monotonic() + SOON_SECONDS
    while True:
        try:
            return await call()
        except redis.RedisError:
            assert time.monotonic() < deadline, "the client did not recover"
            await asyncio.sleep(0.05)


async def test_an_idle_connection_that_was_cut_silently_is_replaced(
    own_redis: RedisServer, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEALTH_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(connections, "WORKER_TIMEOUT_SECONDS", 0.5)
    settings = own_redis.settings(port=fault_proxy.port)
    async with gateway(settings) as ours:
        with worker_client(settings) as theirs:
            assert await ours.incr(KEY) == 1
            assert theirs.incr(KEY) == 2
            fault_proxy.strand()
            await asyncio.sleep(0.05)  # both are idle for longer than the health check allows
            assert await ours.incr(KEY) == 3
            assert theirs.incr(KEY) == 4


async def test_a_restart_costs_no_call_an_error(own_redis: RedisServer) -> None:
    async with gateway(own_redis.settings()) as ours:
        with worker_client(own_redis.settings()) as theirs:
            await asyncio.gather(*(ours.incr(KEY) for _ in range(20)))
            assert theirs.get(KEY) == b"20"
            own_redis.restart()
            await asyncio.gather(*(ours.incr(KEY) for _ in range(20)))
            assert theirs.get(KEY) == b"40"


async def test_a_call_whose_answer_is_lost_is_not_repeated(own_redis: RedisServer, fault_proxy: FaultProxy) -> None:
    settings = own_redis.settings(port=fault_proxy.port)
    async with gateway(settings) as ours:
        await ours.set(KEY, 0)
        fault_proxy.drop_answers()
        await refused_in_time(lambda: ours.incr(KEY), settings)
        fault_proxy.pass_through()
        assert await ours.get(KEY) == b"1"


async def test_calls_of_a_crowd_take_turns_and_none_is_lost_in_an_outage(own_redis: RedisServer) -> None:
    settings = own_redis.settings()
    async with gateway(settings) as ours:
        own_redis.freeze()
        calls = [refused_in_time(lambda: ours.incr(KEY), settings) for _ in range(300)]
        assert len(await asyncio.gather(*calls)) == 300
        own_redis.thaw()
        await eventually(lambda: ours.set(KEY, 0))
        await asyncio.gather(*(ours.incr(KEY) for _ in range(500)))
        assert await ours.get(KEY) == b"500"
        with own_redis.admin() as admin:
            names = [client["name"] for client in admin.client_list()]
        assert 1 <= names.count("flowscale-gateway") <= connections.GATEWAY_CALLS


async def test_several_calls_end_in_time_together(own_redis: RedisServer, fault_proxy: FaultProxy) -> None:
    settings = own_redis.settings(port=fault_proxy.port)

    async def many() -> None:
        async with in_time():
            while True:
                await ours.ping()

    async with gateway(settings) as ours:
        fault_proxy.delay(0.1)
        assert "did not answer in time" in (await refused_in_time(many, settings)).message


def test_a_worker_client_serves_threads(own_redis: RedisServer) -> None:
    with worker_client(own_redis.settings()) as ours:
        threads = [threading.Thread(target=lambda: [ours.incr(KEY) for _ in range(50)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON_SECONDS)
        assert ours.get(KEY) == b"400"


# --- failover ---


@pytest.mark.parametrize("how", ["killed", "ordered"])
async def test_after_a_failover_calls_go_to_the_new_master(how: str, stack: ExitStack) -> None:
    old = stack.enter_context(RedisServer(password=SECRET))
    new = stack.enter_context(RedisServer(password=SECRET, replica_of=old))
    # A sentinel learns of replicas at once from a master that has them, and else only at its next look, in 10 s.
    await until(lambda: new.info()["master_link_status"] == "up")
    watching = stack.enter_context(Sentinel(old))
    await until(watching.knows_a_replica)
    settings = watching.settings()
    async with gateway(settings) as ours:
        with worker_client(settings) as theirs:
            assert await ours.set(KEY, "before")
            assert theirs.get(KEY) == b"before"
            if how == "killed":
                old.kill()
                await refused_in_time(lambda: ours.set(KEY, "lost"), settings)
            else:
                await until(watching.fail_over)
            await until(lambda: watching.master_port() == new.port and role(new) == "master")
            if how == "ordered":
                await until(lambda: role(old) == "slave")
            assert await eventually(lambda: ours.set(KEY, "after"))
            assert theirs.set(KEY, "by worker")
            with new.admin() as admin:
                assert admin.get(KEY) == b"by worker"


def role(server: RedisServer) -> str:
    """ "" while the server cuts its clients, as it does when its role changes."""
    try:
        return str(server.info()["role"])
    except redis.ConnectionError:
        return ""


async def test_a_pooled_connection_to_a_demoted_master_is_left_in_the_same_call(stack: ExitStack) -> None:
    old, new = stack.enter_context(RedisServer()), stack.enter_context(RedisServer())
    watching = stack.enter_context(Sentinel(old))
    settings = watching.settings()
    async with gateway(settings) as ours:
        with worker_client(settings) as theirs:
            assert await ours.set(KEY, 1)
            assert theirs.set(KEY, 2)
            with old.admin() as admin, watching.admin() as orders:
                # Nobody tells the clients: their connections stay, and answer READONLY.
                orders.execute_command("SENTINEL", "REMOVE", watching.service)
                orders.execute_command("SENTINEL", "MONITOR", watching.service, "127.0.0.1", new.port, 1)
                admin.replicaof("127.0.0.1", new.port)
            async with ours.pipeline(transaction=False) as pipeline:
                pipeline.set(KEY, 3)
                assert await pipeline.execute(raise_on_error=False) == [True]
            assert theirs.incr(KEY) == 4


async def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not check():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


# --- what the server refuses ---


def replica(stack: ExitStack, _: Path) -> RedisSettings:
    return stack.enter_context(RedisServer(replica_of=stack.enter_context(RedisServer()))).settings()


def wrong_certificate(stack: ExitStack, folder: Path) -> RedisSettings:
    return stack.enter_context(RedisServer(tls=make_certificates(folder, "DNS:other.example"))).settings()


def unknown_authority(stack: ExitStack, folder: Path) -> RedisSettings:
    (folder / "other").mkdir()
    server = stack.enter_context(RedisServer(tls=make_certificates(folder)))
    return server.settings(ca_file=make_certificates(folder / "other").certificate)


def tls_to_a_plain_port(stack: ExitStack, folder: Path) -> RedisSettings:
    return plain(stack, folder).model_copy(update={"tls": True})


def plain_to_a_tls_port(stack: ExitStack, folder: Path) -> RedisSettings:
    return tls(stack, folder).model_copy(update={"tls": False})


def no_such_service(stack: ExitStack, _: Path) -> RedisSettings:
    watching = stack.enter_context(Sentinel(stack.enter_context(RedisServer())))
    return RedisSettings.model_validate({"url": f"redis+sentinel://127.0.0.1:{watching.port}/other"})


def with_password(stack: ExitStack, **fields: Any) -> RedisSettings:
    return stack.enter_context(RedisServer(password="right")).settings(**fields)


def crowded(stack: ExitStack) -> RedisSettings:
    server = stack.enter_context(RedisServer(config=["maxclients 1"]))
    stack.enter_context(server.admin()).ping()
    return server.settings()


def limited(stack: ExitStack, line: str) -> RedisSettings:
    server = stack.enter_context(RedisServer(users=[line]))
    return server.settings(username="bob", password=SECRET)


REFUSALS: dict[str, tuple[Form, str]] = {
    "wrong password": (lambda stack, _: with_password(stack, password=SECRET), "refused our user or password"),
    "no password": (lambda stack, _: with_password(stack, password=None), "refused our user or password"),
    "no such user": (
        lambda stack, _: with_password(stack, username="mallory", password=SECRET),
        "refused our user or password",
    ),
    "a command not allowed": (
        lambda stack, _: limited(stack, f"bob on >{SECRET} ~* &* +@all -set"),
        "forbids our user a command or a key",
    ),
    "a key not allowed": (
        lambda stack, _: limited(stack, f"bob on >{SECRET} ~other* &* +@all"),
        "forbids our user a command or a key",
    ),
    "replica": (replica, "is a replica"),
    "full": (lambda stack, folder: plain(stack, folder, maxmemory=100_000), "is full"),
    "too many clients": (
        lambda stack, _: crowded(stack),
        "has as many clients as it takes",
    ),
    "no such database": (
        lambda stack, folder: plain(stack, folder).model_copy(update={"db": 99}),
        "has no database of this number",
    ),
    "certificate of another host": (wrong_certificate, "showed a certificate that is not trusted"),
    "unknown authority": (unknown_authority, "showed a certificate that is not trusted"),
    "tls to a plain port": (tls_to_a_plain_port, "TLS"),
    "plain to a tls port": (plain_to_a_tls_port, "whether it wants TLS"),
    "no such service": (no_such_service, "has no master that its sentinels know"),
    "nothing listens": (
        lambda _, __: RedisSettings(host="127.0.0.1", port=1),
        "cannot be reached: nothing listens there",
    ),
    "no such host": (lambda _, __: RedisSettings(host="queue.invalid"), "the name of its host is not known"),
}


@pytest.mark.parametrize(("form", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_what_is_refused_is_told_in_one_sentence(
    form: Form, sentence: str, stack: ExitStack, tmp_path: Path
) -> None:
    settings = form(stack, tmp_path)
    async with gateway(settings) as ours:
        told = await refused_in_time(lambda: ours.set(KEY, SECRET), settings)
    assert sentence in told.message
    assert isinstance(told, QueueFull) == (sentence == "is full")
    with worker_client(settings) as theirs:
        assert worker_fault(theirs, settings).message == told.message


async def test_a_server_that_loads_its_data_says_so(own_redis: RedisServer) -> None:
    with own_redis.admin() as admin, admin.pipeline(transaction=False) as pipeline:
        for number in range(2_000):
            pipeline.set(f"key-{number}", "x" * 100)
        pipeline.bgrewriteaof()
        pipeline.execute()
        await until(lambda: not own_redis.info()["aof_rewrite_in_progress"])
    own_redis.kill()
    own_redis.configure("key-load-delay 2000")  # microseconds
    own_redis.configure("loading-process-events-interval-bytes 1024")
    own_redis.begin()
    settings = own_redis.settings()
    async with gateway(settings) as ours:
        told = ""
        while "loading its data" not in told:
            told = (await refused_in_time(lambda: ours.set(KEY, 1), settings)).message
        own_redis.wait()
        assert await ours.set(KEY, 1)


def test_no_word_of_the_servers_answer_is_repeated() -> None:
    for text in ("MISCONF Errors writing hunter2", "ERR unknown command 'hunter2'", "hunter2 HUNTER2"):
        assert SECRET not in as_fault(redis.ResponseError(text), "it").message.lower()


# --- what the server says of itself ---


@pytest.mark.parametrize(("program", "name"), [(REDIS_7, "redis"), (VALKEY, "valkey"), (REDIS_8, "redis")])
async def test_the_facts_of_real_servers(program: str, name: str, stack: ExitStack) -> None:
    server = stack.enter_context(RedisServer(program))
    async with gateway(server.settings()) as ours:
        facts = await read_facts(ours)
        with worker_client(server.settings()) as theirs:
            assert read_facts_now(theirs).run_id == facts.run_id == server.run_id
        assert (facts.program, facts.maxmemory, facts.maxmemory_policy, facts.persistent) == (
            name,
            0,
            "noeviction",
            True,
        )
        assert int(facts.version.partition(".")[0]) >= 7
        assert facts.uptime_s < SOON_SECONDS
        assert warnings(facts) == ()
        server.restart()
        assert (await read_facts(ours)).run_id != facts.run_id


@pytest.mark.parametrize("program", [REDIS_7, VALKEY, REDIS_8])
async def test_what_may_lose_jobs_is_warned_of(program: str, stack: ExitStack) -> None:
    careless = RedisServer(program, append_only=False, maxmemory=10**8, maxmemory_policy="allkeys-lru")
    async with gateway(stack.enter_context(careless).settings()) as ours:
        evicts, forgets = warnings(await read_facts(ours))
    assert "allkeys-lru" in evicts
    assert "set maxmemory-policy noeviction" in evicts
    assert "set appendonly yes" in forgets


async def test_what_a_server_without_config_saves_is_unknown(stack: ExitStack) -> None:
    settings = plain(stack, Path(), append_only=False, forbidden=["CONFIG"])
    async with gateway(settings) as ours:
        facts = await read_facts(ours)
    assert facts.persistent is None
    assert warnings(facts) == ()


def test_snapshots_persist_and_an_old_server_is_named() -> None:
    old = facts_from({"redis_version": "6.2.14", "aof_enabled": 0, "maxmemory_policy": "noeviction"}, "3600 1")
    assert old.persistent is True
    assert warnings(old) == ("The queue's server is redis 6.2.14; 7.0 or newer is needed.",)
    unknown = facts_from({})
    assert (unknown.maxmemory_policy, unknown.persistent, warnings(unknown)) == (None, None, ())


# --- the servers themselves leave nothing behind ---


def test_a_server_keeps_what_was_acknowledged_and_leaves_nothing() -> None:
    with RedisServer(config=["appendfsync always"]) as server:
        with server.admin() as admin:
            admin.set("one", 1)
            admin.set("two", 2)
        server.kill()
        server.start()
        server.kill()
        server.cut_aof_tail(5)
        server.start()
        with server.admin() as admin:
            assert (admin.get("one"), admin.get("two")) == (b"1", None)
        assert server.forget("o") == 1
        pid, folder = server.pid, server.folder
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_a_killed_test_run_leaves_no_server() -> None:
    code = "from redis_server import *; s = RedisServer(); s.start(); print(s.pid, s.folder, flush=True); input()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        assert psutil.pid_exists(int(pid))
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + SOON_SECONDS
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server lives on"
        time.sleep(0.05)
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path(folder).rmdir()
