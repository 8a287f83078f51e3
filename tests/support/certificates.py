"""Certificates for clients, read once a test process.

Each client of AWS or of HTTP reads those of all authorities anew as it is made, and tests make
thousands, mostly for what is on this machine and has no TLS: a fifth of what such a test costs.
"""

from __future__ import annotations

import functools
import ssl
from typing import Any

import httpx._transports.default
from aiobotocore.httpsession import AIOHTTPSession

_read: dict[Any, ssl.SSLContext] = {}
_build = AIOHTTPSession._build_verify_context  # type: ignore[attr-defined]


def read_once() -> None:
    """From now on, clients with the same settings share what was read."""
    AIOHTTPSession._build_verify_context = _shared  # type: ignore[attr-defined]
    transports = httpx._transports.default
    transports.create_ssl_context = functools.cache(transports.create_ssl_context)  # type: ignore[attr-defined]


def _shared(session: AIOHTTPSession) -> ssl.SSLContext:
    asked = session._verify  # type: ignore[attr-defined]
    if asked not in _read:
        _read[asked] = _build(session)
    return _read[asked]
