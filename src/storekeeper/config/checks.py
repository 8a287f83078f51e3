"""What a value has to be beyond its type; each refusal names the setting and what it takes."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from typing import TYPE_CHECKING

from storekeeper.domain.accounts import ROLE_SCOPES, Role
from storekeeper.domain.money import MINOR_DIGITS

if TYPE_CHECKING:
    from storekeeper.config.settings import Settings

# Region and id, as Cognito's own API describes them.
_POOL_ID = re.compile(r"(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})_[0-9A-Za-z]{1,45}")
# AWS keeps the names that begin with its own for itself.
_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._/#-]{0,255}")
_NODE = re.compile(r"[A-Za-z0-9._-]{0,64}")
_CLIENT_ID = re.compile(r"[0-9A-Za-z_+]{1,128}")
# A topic's name, or its ARN, as SNS's own API describes them.
_TOPIC = re.compile(
    r"(?:arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):[0-9]{12}:)?(?P<name>[0-9A-Za-z_-]{1,256}(?:\.fifo)?)"
)
LONGEST_TOPIC = 256
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
# Their own syntax, and whatever the client wrote into them.
LISTS_OF_CLIENTS = frozenset({"x-forwarded-for", "forwarded"})
# What DynamoDB allows in a table's name, short enough for all of them.
TABLE_PREFIX = re.compile("^[A-Za-z0-9_.-]{0,64}$")
CACHE_SCHEMES = frozenset({"valkey", "valkeys", "redis", "rediss"})
DEFAULT_ADDRESS = "shop@localhost"
SHORTEST_SECRET = 32
# Keys that were good enough once may be shorter, but nothing that can be guessed signs a token.
SHORTEST_OLD_SECRET = 16


class SettingsError(Exception):
    """A setting that can't be used; says which one, where it came from, and what it takes."""


def check_all(settings: Settings) -> None:
    """Raises `SettingsError` for the first that can't be used, or not with another."""
    _check_secrets(settings)
    _check_currency(settings.currency)
    _check_proxies(settings.trusted_proxies)
    _check_client_header(settings)
    _check_public_url(settings.public_url)
    _check_address(settings.mail_from)
    if settings.contact_email and not is_address(settings.contact_email):
        raise SettingsError(
            f"contact_email = {settings.contact_email!r} can't be used: give an address such as "
            "help@example.com, without a name, or leave it out"
        )
    _check_cognito(settings)
    _check_cloudwatch(settings)
    for field in (
        "aws_endpoint_url",
        "snapshot_endpoint_url",
        "backup_endpoint_url",
        "image_endpoint_url",
        "cloudwatch_endpoint_url",
    ):
        _check_endpoint(field, getattr(settings, field))
    region_of_topics(settings)
    _check_cache_url(settings.cache_url)


def _check_secrets(settings: Settings) -> None:
    if 0 < len(settings.secret_key) < SHORTEST_SECRET:
        raise SettingsError(
            f"secret_key needs at least {SHORTEST_SECRET} characters and has "
            f"{len(settings.secret_key)}; whoever guesses it signs tokens. Make one with "
            "`openssl rand -base64 48`, or leave it out and one is made for you"
        )
    if settings.store == "dynamodb" and not settings.secret_key:
        raise SettingsError(
            "secret_key is missing: with store = dynamodb several machines share one shop, so "
            "each needs the same one; make it with `openssl rand -base64 48`"
        )
    for place, key in enumerate(settings.old_secret_keys, start=1):
        if len(key) < SHORTEST_OLD_SECRET:
            raise SettingsError(
                f"old_secret_keys: number {place} needs at least {SHORTEST_OLD_SECRET} "
                f"characters and has {len(key)}; tokens signed with it are still taken"
            )


def _check_currency(code: str) -> None:
    if code not in MINOR_DIGITS:
        raise SettingsError(
            f"currency = {code!r} can't be used: it is no currency in circulation; take a code of "
            "ISO 4217, such as GBP, EUR or USD"
        )


def _check_proxies(networks: tuple[str, ...]) -> None:
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise SettingsError(
                f"trusted_proxies: {text!r} can't be used: give addresses or networks, such as "
                "127.0.0.1 or 10.0.0.0/8"
            ) from error


def _check_client_header(settings: Settings) -> None:
    header = settings.client_header
    if not header:
        return
    if not _HEADER.fullmatch(header) or header.lower() in LISTS_OF_CLIENTS:
        raise SettingsError(
            f"client_header = {header!r} can't be used: give the name of a header that holds one "
            "address, letters, digits and -, such as X-Client-IP; leave it out for X-Forwarded-For"
        )
    if not settings.trusted_proxies:
        raise SettingsError(
            "client_header is set, but trusted_proxies isn't, so nobody would be believed; set "
            "both or neither"
        )


def _check_public_url(text: str) -> None:
    try:
        parts = urllib.parse.urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, usable = urllib.parse.SplitResult("", "", "", "", ""), None
    if not usable or parts.query or parts.fragment or "@" in parts.netloc or " " in text:
        raise SettingsError(
            f"public_url = {text!r} can't be used: give the address under which customers reach "
            "the shop, such as https://shop.example.com"
        )


def _check_endpoint(field: str, text: str) -> None:
    try:
        parts = urllib.parse.urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if text and not usable:
        raise SettingsError(
            f"{field} = {text!r} can't be used: give an address such as "
            "http://127.0.0.1:4566, or leave it out to take AWS's own"
        )


def _check_address(text: str) -> None:
    """Looser than for customers: a shop may send from inside its own network."""
    if text != DEFAULT_ADDRESS and not is_address(text):
        raise SettingsError(
            f"mail_from = {text!r} can't be used: give the address that mail is sent from, such as "
            "shop@example.com, without a name"
        )


def is_address(text: str) -> bool:
    """Whether it is what a mail's From takes; what that makes of a comment or a name isn't."""
    from email.errors import MessageError
    from email.headerregistry import Address

    if not all("!" <= letter <= "~" for letter in text):
        return False
    try:
        address = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        return False
    return bool(address.username and address.domain) and address.addr_spec == text


def _check_cloudwatch(settings: Settings) -> None:
    if not _NAMESPACE.fullmatch(settings.cloudwatch_namespace):
        raise SettingsError(
            f"cloudwatch_namespace = {settings.cloudwatch_namespace!r} can't be used: give up to "
            "255 letters, digits and . _ / # -, such as Storekeeper, not beginning with AWS/"
        )
    if not _NODE.fullmatch(settings.cloudwatch_node):
        raise SettingsError(
            f"cloudwatch_node = {settings.cloudwatch_node!r} can't be used: give up to 64 letters, "
            "digits and . _ -, a name that this node keeps"
        )
    if settings.cloudwatch_node and not settings.cloudwatch_namespace:
        raise SettingsError(
            "cloudwatch_node is set, but cloudwatch_namespace isn't, so nothing would be sent; set "
            "both or neither"
        )


def _check_cognito(settings: Settings) -> None:
    pool_id = settings.cognito_user_pool_id
    if not pool_id:
        for name in ("client_ids", "region", "groups", "jwks_url"):
            if getattr(settings, f"cognito_{name}"):
                raise SettingsError(
                    f"cognito_{name} is set, but cognito_user_pool_id isn't, so nobody of the pool "
                    "would be let in; set both or neither"
                )
        return
    found = _POOL_ID.fullmatch(pool_id)
    if found is None:
        raise SettingsError(
            f"cognito_user_pool_id = {pool_id!r} can't be used: give the pool's id, such as "
            "eu-west-1_AbCdEf123, not its name or ARN"
        )
    region = settings.cognito_region
    if region and region != found["region"]:
        raise SettingsError(
            f"cognito_region = {region!r} doesn't fit: the pool {pool_id} is in {found['region']}; "
            "leave cognito_region out, or give the id of another pool"
        )
    if not settings.cognito_client_ids:
        raise SettingsError(
            "cognito_client_ids is missing: name the pool's app clients whose tokens are taken, or "
            "any application of the pool would open the shop"
        )
    for client_id in settings.cognito_client_ids:
        if not _CLIENT_ID.fullmatch(client_id):
            raise SettingsError(
                f"cognito_client_ids: {client_id!r} can't be used: give an app client's id, letters "
                "and digits, not its name"
            )
    _check_jwks_url(settings.cognito_jwks_url)
    roles_of(settings.cognito_groups)


def roles_of(groups: tuple[str, ...]) -> dict[str, Role]:
    found: dict[str, Role] = {}
    for text in groups:
        group, _, role = (part.strip() for part in text.rpartition("="))
        if not group or role not in ROLE_SCOPES:
            raise SettingsError(
                f"cognito_groups: {text!r} can't be used: say GROUP=ROLE, with one of the roles "
                f"{', '.join(ROLE_SCOPES)}, such as admins=admin"
            )
        if found.setdefault(group, role) != role:
            raise SettingsError(f"cognito_groups gives the group {group!r} two roles; leave one")
    return found


def _check_jwks_url(text: str) -> None:
    """Whoever can change what comes from there can sign tokens, so only this machine is spoken to
    in the clear."""
    if not text:
        return
    try:
        parts = urllib.parse.urlsplit(text)
        host = parts.hostname or ""
        usable = bool(host) and parts.port != 0 and text.isascii()
    except ValueError:
        usable, host, parts = False, "", urllib.parse.SplitResult("", "", "", "", "")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not usable or not is_safe or parts.fragment or "@" in parts.netloc or " " in text:
        raise SettingsError(
            f"cognito_jwks_url = {text!r} can't be used: give an https:// address (http:// only on "
            "this machine), or leave it out to take the pool's own"
        )


def region_of_topics(settings: Settings) -> str:
    """The region that settings or ARNs name; empty where AWS's own configuration decides.

    Raises `SettingsError` for what is no topic, and for topics of two regions.
    """
    region, named_by = settings.aws_region, "aws_region"
    for field in ("sns_orders_topic", "sns_stock_topic"):
        topic = getattr(settings, field)
        found = _TOPIC.fullmatch(topic)
        if topic and (found is None or len(found["name"]) > LONGEST_TOPIC):
            raise SettingsError(
                f"{field} = {topic!r} can't be used: give a topic's name (letters, digits, - and _, "
                "with .fifo at the end for one that keeps order), or its ARN"
            )
        its_own = found["region"] if found is not None else None
        if its_own and region and its_own != region:
            raise SettingsError(
                f"{field} is in {its_own}, but {named_by} says {region}; topics are used in one "
                "region"
            )
        if its_own:
            region, named_by = its_own, field
    return region


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_cache_url(text: str) -> None:
    """Never shows the address, which may hold a password."""
    if not text:
        return
    try:
        parts = urllib.parse.urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0 and parts.path.strip("/").isdigit()
        usable = usable or (bool(parts.hostname) and parts.path in ("", "/"))
        usable = usable and parts.scheme in CACHE_SCHEMES and text.isascii() and " " not in text
    except ValueError:
        parts, usable = urllib.parse.SplitResult("", "", "", "", ""), False
    if not usable or parts.query or parts.fragment:
        raise SettingsError(
            "cache_url can't be used: give valkey://HOST:6379/0, or valkeys:// for TLS, with "
            "USER:PASSWORD@ before the host where the server asks for them (%-encoded where they "
            "hold other signs than letters and digits), or leave it out"
        )
