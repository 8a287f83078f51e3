"""Who a request comes from, behind which proxies, and what each process lets them ask."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from storekeeper.config import Settings

log = structlog.get_logger(__name__)


def rate_per_process(settings: Settings) -> int:
    """Each worker counts for itself, so each allows its share of the rate; 0 means no limit."""
    rate = settings.requests_per_minute
    return max(1, rate // settings.workers) if rate else 0


def client_finder(trusted: Sequence[str], header: str = "") -> Callable[[Any], str]:
    """How a request's client address is found: the peer, or what a trusted proxy says of it, in
    `header` (one address), or where none is named in X-Forwarded-For (a list)."""
    networks = [ipaddress.ip_network(text, strict=False) for text in trusted]

    def is_trusted(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in networks)

    def direct(scope: Any) -> str:
        client = scope.get("client")
        return str(client[0]) if client else "unknown"

    def forwarded(scope: Any) -> str:
        address = direct(scope)
        if not is_trusted(address):
            return address
        # Each proxy adds to the line, or a line of its own: together they are one list (RFC 9110,
        # section 5.3). From the right: the last address that isn't one of our own proxies.
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        for part in reversed(b",".join(lines).decode("latin-1").split(",")):
            if part.strip():
                address = bare_address(part.strip())
                if not is_trusted(address):
                    return address
        return address

    if not networks:
        return direct
    return _named(header, direct, is_trusted) if header else forwarded


def _named(
    header: str, direct: Callable[[Any], str], is_trusted: Callable[[str], bool]
) -> Callable[[Any], str]:
    """By one header, which the proxy writes anew for each request. X-Forwarded-For isn't looked at:
    such a proxy may leave in it what the client wrote."""
    wanted = header.lower().encode()
    is_told = False

    def named(scope: Any) -> str:
        nonlocal is_told
        peer = direct(scope)
        if not is_trusted(peer):
            return peer
        lines = [value for name, value in scope["headers"] if name == wanted]
        # Without the header: the proxy's own health checks.
        if not lines:
            return peer
        address = _one_address(lines)
        if address is None and not is_told:
            is_told = True
            log.warning("the client's address can't be read", header=header, peer=peer)
        return address or peer

    return named


def _one_address(lines: Sequence[bytes]) -> str | None:
    """The address that is all there is, in its shortest form; None for anything else."""
    if len(lines) != 1 or b"%" in lines[0]:  # a zone's name, which could be any text
        return None
    try:
        found = ipaddress.ip_address(lines[0].decode("latin-1"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def bare_address(text: str) -> str:
    """The address of `192.0.2.1:80`, `[2001:db8::1]:80` or `"[2001:db8::1]"`; else the text."""
    text = text.strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
