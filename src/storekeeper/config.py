"""Settings: read once at start from flags, environment and file; passed down, never looked up."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from storekeeper.domain.accounts import ROLE_SCOPES, Role
from storekeeper.domain.money import MINOR_DIGITS

PREFIX = "STOREKEEPER_"
# Region and id, as Cognito's own API describes them.
_POOL_ID = re.compile(r"(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})_[0-9A-Za-z]{1,45}")
# AWS keeps the names that begin with its own for itself.
_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._/#-]{0,255}")
_NODE = re.compile(r"[A-Za-z0-9._-]{0,64}")
_LIMIT = re.compile(r"Expected `(?:int|float)` (?P<sign>>=|<=) (?P<limit>\S+)")
_CLIENT_ID = re.compile(r"[0-9A-Za-z_+]{1,128}")
# A topic's name, or its ARN, as SNS's own API describes them.
_TOPIC = re.compile(
    r"(?:arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):[0-9]{12}:)?(?P<name>[0-9A-Za-z_-]{1,256}(?:\.fifo)?)"
)
LONGEST_TOPIC = 256
# What DynamoDB allows in a table's name, short enough for all of them.
TABLE_PREFIX = re.compile("^[A-Za-z0-9_.-]{0,64}$")
SECRET_FIELDS = frozenset({"secret_key", "old_secret_keys", "smtp_password", "cache_url"})
CACHE_SCHEMES = frozenset({"valkey", "valkeys", "redis", "rediss"})
DEFAULT_ADDRESS = "shop@localhost"
SHORTEST_SECRET = 32
# Keys that were good enough once may be shorter, but nothing that can be guessed signs a token.
SHORTEST_OLD_SECRET = 16
Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]


class SettingsError(Exception):
    """A setting that can't be used; says which one, where it came from, and what it takes."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. Times in seconds, sizes in bytes."""

    # Where the shop is: in one file of this machine, or in tables that several machines share.
    store: Literal["sqlite", "dynamodb"] = "sqlite"
    # The shop's file; with tables, the folder of this machine's replica is taken from it.
    database: str = "data/shop.db"
    dynamodb_prefix: Annotated[str, msgspec.Meta(pattern=TABLE_PREFIX.pattern)] = "storekeeper-"
    # Whether the tables of products, orders and accounts are kept for other programs.
    dynamodb_views: bool = True
    # Where the quick start of new nodes comes from; empty: they read the whole log.
    snapshot_bucket: Annotated[
        str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")
    ] = ""
    snapshot_entries: Positive = 50_000
    snapshot_endpoint_url: str = ""
    # Where pictures of products are kept; empty: in the folder `images` beside the shop's file.
    image_bucket: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")] = ""
    image_endpoint_url: str = ""
    # Empty: what AWS's own variables, its configuration file or the machine's role say.
    aws_region: str = ""
    aws_profile: str = ""
    aws_endpoint_url: str = ""
    # Where the figures of /metrics are sent besides; empty: nowhere.
    cloudwatch_namespace: str = ""
    cloudwatch_seconds: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 60
    # Sends each figure under this node's name too, which CloudWatch bills as metrics of its own.
    cloudwatch_node: str = ""
    # Empty: the one for all of AWS above.
    cloudwatch_endpoint_url: str = ""
    # A server of the Valkey protocol (ElastiCache) that nodes share; empty: each its own memory.
    cache_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8_000
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    public_url: str = "http://127.0.0.1:8000"
    shop_name: str = "Storekeeper"
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "GBP"
    # Signs access tokens and guests' links; made and kept beside the database when empty.
    secret_key: str = ""
    old_secret_keys: tuple[str, ...] = ()
    access_token_seconds: Positive = 900
    refresh_token_days: Positive = 30
    # A user pool whose people are let in beside the shop's own accounts; empty: none.
    cognito_user_pool_id: str = ""
    # The pool's app clients whose tokens are taken.
    cognito_client_ids: tuple[str, ...] = ()
    # Empty: the one that the pool's id begins with.
    cognito_region: str = ""
    # What the pool's groups make of their members: "admins=admin", "shop floor=staff".
    cognito_groups: tuple[str, ...] = ()
    # Empty: the pool's own. For local engines, or a copy inside a closed network.
    cognito_jwks_url: str = ""
    reservation_seconds: Positive = 900
    sweep_seconds: Positive = 5
    allocation: Literal["one_if_possible", "priority"] = "one_if_possible"
    write_batch: Positive = 256
    write_queue: Positive = 4_096
    max_body_bytes: Positive = 2_097_152
    max_upload_bytes: Positive = 268_435_456
    # How long a client may take for a request's head, and for each part of its body.
    header_seconds: Positive = 30
    body_seconds: Positive = 30
    # Of each process; fewer where the system allows it fewer open files.
    max_connections: Positive = 4_096
    requests_per_minute: Natural = 1_200
    trusted_proxies: tuple[str, ...] = ()
    password_hashes_at_once: Positive = 2
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    notify_console: bool = True
    mail_from: str = DEFAULT_ADDRESS
    smtp_host: str = ""
    smtp_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 587
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    webhook_private_addresses: bool = False
    # Amazon SNS topics, by name or ARN; empty: off. A name that ends in .fifo is one that keeps order.
    sns_orders_topic: str = ""
    sns_stock_topic: str = ""
    delivery_attempts: Positive = 12
    shutdown_seconds: Positive = 20

    def __post_init__(self) -> None:
        self._check_secrets()
        _check_currency(self.currency)
        _check_proxies(self.trusted_proxies)
        _check_public_url(self.public_url)
        _check_address(self.mail_from)
        _check_cognito(self)
        _check_cloudwatch(self)
        _check_endpoint("aws_endpoint_url", self.aws_endpoint_url)
        _check_endpoint("snapshot_endpoint_url", self.snapshot_endpoint_url)
        _check_endpoint("image_endpoint_url", self.image_endpoint_url)
        _check_endpoint("cloudwatch_endpoint_url", self.cloudwatch_endpoint_url)
        region_of_topics(self)
        _check_cache_url(self.cache_url)

    def _check_secrets(self) -> None:
        if 0 < len(self.secret_key) < SHORTEST_SECRET:
            raise SettingsError(
                f"secret_key needs at least {SHORTEST_SECRET} characters and has "
                f"{len(self.secret_key)}; whoever guesses it signs tokens. Make one with "
                "`openssl rand -base64 48`, or leave it out and one is made for you"
            )
        if self.store == "dynamodb" and not self.secret_key:
            raise SettingsError(
                "secret_key is missing: with store = dynamodb several machines share one shop, so "
                "each needs the same one; make it with `openssl rand -base64 48`"
            )
        for place, key in enumerate(self.old_secret_keys, start=1):
            if len(key) < SHORTEST_OLD_SECRET:
                raise SettingsError(
                    f"old_secret_keys: number {place} needs at least {SHORTEST_OLD_SECRET} "
                    f"characters and has {len(key)}; tokens signed with it are still taken"
                )

    @property
    def cognito_roles(self) -> dict[str, Role]:
        """What each group of the user pool makes of its members."""
        return _roles_of(self.cognito_groups)

    @property
    def data_dir(self) -> Path:
        return Path(self.database).resolve().parent

    @property
    def exists(self) -> bool:
        """Whether there is something at the shop's place, as far as can be told from here."""
        return self.store != "sqlite" or Path(self.database).exists()

    @property
    def place(self) -> str:
        """Where the shop is, for people."""
        if self.store == "dynamodb":
            return f"the DynamoDB tables {self.dynamodb_prefix}*"
        return self.database


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
    if text != DEFAULT_ADDRESS and not _is_address(text):
        raise SettingsError(
            f"mail_from = {text!r} can't be used: give the address that mail is sent from, such as "
            "shop@example.com, without a name"
        )


def _is_address(text: str) -> bool:
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
    _roles_of(settings.cognito_groups)


def _roles_of(groups: tuple[str, ...]) -> dict[str, Role]:
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


def load(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings by precedence: flags, then environment, then the TOML file, then defaults.

    The file is `file`, or the one that STOREKEEPER_CONFIG names. Raises `SettingsError`.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(f"{PREFIX}CONFIG")
    path = file or (Path(named) if named else None)
    # Only text needs to be read as numbers and switches: a file has types of its own.
    values: dict[str, Any] = _from_file(path) if path else {}
    texts: set[str] = set()
    known = set(Settings.__struct_fields__)
    for name, text in environ.items():
        field = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or field == "config":
            continue
        if field not in known:
            raise SettingsError(f"{name} is set, but there is no such setting; see `config --help`")
        values[field] = text
        texts.add(field)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values.update(given)
    return _convert(values, texts - given.keys())


def shown(settings: Settings) -> dict[str, Any]:
    """The settings for people to look at, secrets hidden."""
    found: dict[str, Any] = msgspec.to_builtins(settings)
    return {
        name: "(hidden)" if name in SECRET_FIELDS and value else value
        for name, value in found.items()
    }


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"the settings file {path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from error


def _convert(values: dict[str, Any], texts: set[str]) -> Settings:
    """`texts`: the settings that came as text and may stand for another type."""
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    converted: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"there is no setting {name!r}; see `storekeeper config --help`")
        is_list = isinstance(known[name].default, tuple)
        raw = (
            [part.strip() for part in value.split(",") if part.strip()]
            if (is_list and name in texts)
            else value
        )
        try:
            converted[name] = msgspec.convert(raw, known[name].type, strict=name not in texts)
        except msgspec.ValidationError as error:
            shown_value = "(hidden)" if name in SECRET_FIELDS else repr(value)
            raise SettingsError(f"{name} = {shown_value} can't be used: {_plain(error)}") from error
    return Settings(**converted)


def _plain(error: msgspec.ValidationError) -> str:
    """What is wrong in words for people; msgspec speaks of its types."""
    text = str(error)
    if found := _LIMIT.fullmatch(text):
        most = "at least" if found["sign"] == ">=" else "at most"
        return f"it must be {most} {found['limit']}"
    return text
