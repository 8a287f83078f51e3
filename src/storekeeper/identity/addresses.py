"""E-mail addresses and client addresses in the form in which the shop compares them."""

from __future__ import annotations

import ipaddress

from storekeeper.domain.errors import Invalid


def clean_email(text: str, field: str = "email") -> str:
    """The address as it is kept; raises `Invalid` for one that no mail could reach.

    Nothing is looked up: whether the domain answers is found out by writing to it.
    """
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise Invalid(str(error), field=field) from None


def client_network(address: str) -> str:
    """What failed tries are counted by: an IPv4 address, or the /64 that one IPv6 user has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
