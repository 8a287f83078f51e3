"""Structured logs: one JSON object a line, without personal data or secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import stamina
import structlog

from storekeeper.telemetry.recent import RECENT
from storekeeper.telemetry.sink import SINK

# A traceback with local variables would write passwords into the log.
_FOR_PEOPLE = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure(
    level: Literal["debug", "info", "warning", "error"], style: Literal["json", "console"]
) -> None:
    """Sets up structlog, and lets the standard library's loggers speak through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        RECENT.processor,
        structlog.processors.format_exc_info,
    ]
    global _writes_json  # noqa: PLW0603 - logging is set up once for the process
    _writes_json = style == "json"
    if style == "json":
        structlog.configure(
            processors=[*shared, _as_json],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            logger_factory=_SinkLogger,
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[*shared[:-1], _FOR_PEOPLE],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    # Who waits for the store says so once (`telemetry.outage`), not at each try.
    stamina.instrumentation.set_on_retry_hooks(())
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(_LEVELS[level])
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "litestar"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    # At lower levels these write whole messages and signatures, or of each step of a PDF.
    for name in ("httpx", "aiobotocore", "botocore", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)


class AccessLine(msgspec.Struct, frozen=True):
    """One finished request. `route` is the pattern and `by` a role and an id: no personal data."""

    request_id: str
    method: str
    route: str
    status: int
    ms: float
    by: str
    timestamp: datetime
    event: str = "request"
    level: str = "info"


class EventLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of the shop, as the console channel tells it."""

    event: str
    level: str
    timestamp: datetime
    id: str
    subject: str
    at: datetime
    data: dict[str, Any] = {}


_writes_json = False


def log_line(line: AccessLine) -> None:
    """The same form as any other line, without the way through the processors.

    There is one for each request, so its cost counts.
    """
    if _writes_json:
        SINK.write(_encode(line))
    else:
        _say(line)


def log_lines(lines: Sequence[EventLine]) -> None:
    """As `log_line`, for many of them."""
    if _writes_json:
        urgent = any(line.level == "warning" for line in lines)
        SINK.write(*[_encode(line) for line in lines], urgent=urgent)
    else:
        for line in lines:
            _say(line)


def _say(line: AccessLine | EventLine) -> None:
    fields = msgspec.structs.asdict(line)
    tell = getattr(structlog.get_logger(), fields.pop("level"))
    del fields["timestamp"]
    tell(fields.pop("event"), **fields)


class _SinkLogger:
    """What structlog writes to; warnings and worse are written at once."""

    def __init__(self, *args: Any) -> None:
        del args

    def debug(self, line: bytes) -> None:
        SINK.write(line)

    info = msg = debug

    def warning(self, line: bytes) -> None:
        SINK.write(line, urgent=True)

    error = critical = exception = failure = warning


class _ToStructlog(logging.Handler):
    """Records of other libraries, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def _as_json(logger: Any, name: str, event: Any) -> bytes:
    return _encode(dict(event))
