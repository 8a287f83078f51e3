"""Which addresses the shop may send webhooks to; keeps integrators out of its own network.

An address that isn't plainly of the public internet is refused: private, loopback, link-local
(where clouds keep their metadata), shared, multicast, reserved, and IPv6 forms that wrap such an
IPv4 address. Rules: IANA's special-purpose address registries.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from storekeeper.domain.errors import Invalid

Address = IPv4Address | IPv6Address

# Named here rather than asked of `is_global`, whose answers differ between Python's versions.
_CLOSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
# In 2000::/3, but not of the public internet: Teredo and other protocol assignments, 6to4 (whose
# relays are withdrawn), documentation, segment routing.
_CLOSED_6 = tuple(
    map(
        IPv6Network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
# Other ways to write an IPv4 address that a resolver takes: 127.1, 0x7f000001, 0177.0.0.1,
# 2130706433. As browsers do, a host that ends in a number is an address or nothing (WHATWG URL, 3.5).
_NUMERIC = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        return address in _GLOBAL_6 and not any(address in net for net in _CLOSED_6)
    return not any(address in net for net in _CLOSED_4)


def check_url(url: str, *, private_allowed: bool, field: str = "url") -> None:
    """Raises `Invalid` for a URL that no webhook can go to. Names are looked up when sending."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"this is not a URL: {error}", field=field) from None
    if not host or not url.isascii():
        raise Invalid("a URL needs a host; write names outside ASCII as xn--…", field=field)
    if parts.username is not None or parts.password is not None:
        raise Invalid("leave user and password out; the signature proves who sends", field=field)
    if parts.fragment:
        raise Invalid("a fragment (#…) is never sent; leave it out", field=field)
    if parts.scheme != "https" and not (private_allowed and parts.scheme == "http"):
        raise Invalid("webhooks go to https:// only", field=field)
    try:
        address = _numeric(host) or ip_address(host)
    except OSError:
        raise Invalid(f"{host} is neither a name nor an address", field=field) from None
    except ValueError:
        if not _can_be_asked_for(host):
            raise Invalid(
                "a host's name has parts of 1 to 63 characters, and at most 253 in all", field=field
            ) from None
        if private_allowed:
            return
        if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
            raise Invalid(f"{host} is a name of a private network", field=field) from None
        return
    if not private_allowed and not is_public(address):
        raise Invalid(f"{host} is not an address of the public internet", field=field)


def _numeric(host: str) -> IPv4Address | None:
    """The address that a number, or up to four with dots between them, stands for; None for a
    name. Raises `OSError` for numbers that are none."""
    written = host.removesuffix(".")
    if ":" in host or not _NUMERIC.fullmatch(written.rpartition(".")[2]):
        return None
    return IPv4Address(socket.inet_aton(written))


def _can_be_asked_for(host: str) -> bool:
    """Whether the name has the lengths that the name service allows (RFC 1035, section 2.3.4)."""
    name = host.removesuffix(".")
    return len(name) <= 253 and all(0 < len(label) <= 63 for label in name.split("."))
