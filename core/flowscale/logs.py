"""Structured logs: every line has an event name (`job.started`) beside its sentence.

    log = logs.get("worker")
    log.info("job.started", "Started the job", job_id=job.id)

Lines of libraries that log through the standard library (uvicorn) come out in the same form. `bind` adds
fields to every line of the current request or job; they follow the thread or task, not the logger.
"""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class Log:
    """A logger with a name; `fields` become keys of the line."""

    def __init__(self, name: str) -> None:
        self._logger = structlog.stdlib.get_logger(f"flowscale.{name}")

    def debug(self, event: str, sentence: str, **fields: Any) -> None:
        self._logger.debug(event, message=sentence, **fields)

    def info(self, event: str, sentence: str, **fields: Any) -> None:
        self._logger.info(event, message=sentence, **fields)

    def warning(self, event: str, sentence: str, **fields: Any) -> None:
        self._logger.warning(event, message=sentence, **fields)

    def error(self, event: str, sentence: str, **fields: Any) -> None:
        self._logger.error(event, message=sentence, **fields)

    def exception(self, event: str, sentence: str, error: BaseException, **fields: Any) -> None:
        """An error with the traceback of `error`."""
        self._logger.error(event, message=sentence, exc_info=error, **fields)


def get(name: str) -> Log:
    return Log(name)


def bind(**fields: Any) -> AbstractContextManager[Any]:
    """Add fields to every line logged within the `with` block, in this thread or task."""
    return structlog.contextvars.bound_contextvars(**fields)


def bound(field: str) -> str:
    """What `bind` has given this field, here and now; "" when it has not."""
    return str(structlog.contextvars.get_contextvars().get(field, ""))


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["text", "json"] = "json",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of the process to `stream` (stderr by default). Call once, at start."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    out = stream or sys.stderr
    renderers: list[Processor]
    if form == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [_sentence_first, structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=0)]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_foreign_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _name_foreign_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A library's line has a sentence only: its logger's name serves as the event's."""
    event["message"] = event.get("event", "")
    event["event"] = str(event.get("logger", "log"))
    return event


def _sentence_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    sentence = event.pop("message", None)
    if sentence:
        event["event"] = f"{sentence} [{event['event']}]"
    event.pop("logger", None)
    return event
