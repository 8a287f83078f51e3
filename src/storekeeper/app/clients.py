"""Who a request comes from, behind which proxies, and what each process lets them ask."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from storekeeper.config import Settings


def rate_per_process(settings: Settings) -> int:
    """Each worker counts for itself, so each allows its share of the rate; 0 means no limit."""
    rate = settings.requests_per_minute
    return max(1, rate // settings.workers) if rate else 0


def client_finder(trusted: Sequence[str]) -> Callable[[Any], str]:
    """How a request's client address is found: the peer, or what a trusted proxy says of it."""
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

    return forwarded if networks else direct


def bare_address(text: str) -> str:
    """The address of `192.0.2.1:80`, `[2001:db8::1]:80` or `"[2001:db8::1]"`; else the text."""
    text = text.strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
