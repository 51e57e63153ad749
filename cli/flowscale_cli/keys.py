"""`flowscale keys`: make, list and revoke the keys of a service over Redis. Talks to the queue's server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from flowscale import logs
from flowscale.clocks import SystemClock, iso_utc
from flowscale.errors import InvalidOptions, SettingsError
from flowscale.keys.base import AccessStore, Key, Scope, key_not_found
from flowscale.keys.tokens import digest, is_key_id, new_token
from flowscale.settings import Settings
from flowscale_cli.person import user_name
from flowscale_cli.screen import errors, say, say_json, table

keys = typer.Typer(help="The API keys of a service over Redis: who may use it.", no_args_is_help=True)

MAX_NAME = 100
MAX_PROJECT = 200
"""Characters; of a project as in the API."""

_Answer = TypeVar("_Answer")
_log = logs.get("audit")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what is to have it, for those who read the list.")],
    scope: Annotated[
        list[Scope],
        typer.Option(
            "--scope", help="read: look at jobs and files. render: also upload and render. admin: everything."
        ),
    ],
    project: Annotated[
        str | None, typer.Option(help="It sees and touches nothing but this project's jobs and files.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Make a key. It is shown once, here and now: the service keeps no more than its hash."""
    _check(name, scope, project)
    token = new_token()
    now_ms = SystemClock().now_ms()
    key = Key(token.key_id, digest(token.secret), name, frozenset(scope), project, now_ms)
    _with_store(lambda store: store.add(key))
    _note("audit.key_created", f"Made the key {key.id} for {name}", key)
    if as_json:
        say_json({**_facts(key), "key": str(token)})
        return
    errors.print(f"The key {key.id} of {name!r}. It is shown this once; keep it where secrets are kept.", markup=False)
    say(str(token))


@keys.command("list")
def list_keys(as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False) -> None:
    """List the keys there are, oldest first; none of their secrets is known here."""
    found = _with_store(lambda store: store.keys())
    if as_json:
        say_json([_facts(key) for key in found])
    elif not found:
        say("No keys.")
    else:
        table([("KEY", "NAME", "SCOPES", "PROJECT", "CREATED"), *map(_row, found)])


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(help="A key's id, as `list` shows it.", metavar="KEY")]) -> None:
    """Revoke a key. It and the logins it opened are dead at once, on every gateway."""
    if not is_key_id(key_id):
        raise key_not_found(key_id if len(key_id) <= 16 else "of this form, which is 16 hex digits")
    key = _with_store(lambda store: store.revoke(key_id))
    _note("audit.key_revoked", f"Revoked the key {key.id} of {key.name}", key)
    say(f"Revoked the key {key.id} of {key.name!r}.")


def _check(name: str, scopes: list[Scope], project: str | None) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidOptions(f"The name must be 1 to {MAX_NAME} characters that can be printed.")
    if project is not None and not 1 <= len(project) <= MAX_PROJECT:
        raise InvalidOptions(f"A project must be 1 to {MAX_PROJECT} characters.")
    if project is not None and Scope.ADMIN in scopes:
        raise InvalidOptions(
            "An admin key sees the whole installation, so it cannot be one project's: leave --project out, or make a "
            "key with --scope render."
        )


def _note(event: str, sentence: str, key: Key) -> None:
    """The audit's line. It goes to standard error: the person who does this is its only log."""
    settings = Settings.load()
    logs.configure("info", "text" if errors.is_terminal else settings.logs.format)
    _log.info(event, sentence, by=user_name(), **_facts(key))


def _facts(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(scope.value for scope in key.scopes),
        "project": key.project,
        "createdAt": iso_utc(key.created_ms),
    }


def _row(key: Key) -> tuple[str, ...]:
    return key.id, key.name, ",".join(sorted(key.scopes)), key.project or "", iso_utc(key.created_ms)


def _with_store(ask: Callable[[AccessStore], Awaitable[_Answer]]) -> _Answer:
    """Raises SettingsError without Redis, QueueUnavailable when it cannot be reached."""
    from flowscale.keys.redis import open_access_store

    settings = Settings.load()
    if settings.queue.mode != "redis":
        raise SettingsError(
            "QUEUE_MODE: keys are kept in Redis, and a queue in memory has none. Set QUEUE_MODE=redis and the "
            "REDIS_ settings of the service; or give the one process FLOWSCALE_ADMIN_KEY, which is good for everything"
        )

    async def run() -> _Answer:
        store = open_access_store(settings.redis)
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(run())
