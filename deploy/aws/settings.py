"""What one environment is: a TOML file in `environments/`, read strictly.

What can't be used stops everything with one sentence that names the key.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import botocore.session
import msgspec

from deploy.aws.fixed import ZONES
from storekeeper.config import SettingsError, is_address
from storekeeper.domain.money import MINOR_DIGITS

FOLDER = Path(__file__).parent / "environments"
# As long as the name of a target group leaves room for (32 letters), and as a cache takes it.
_NAME = re.compile(r"(?=.{1,11}$)[a-z](-?[a-z0-9])*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,190}}$){_LABEL}(\.{_LABEL})+")
_ZONE = re.compile(r"Z[A-Z0-9]{8,31}")
_ORIGIN = re.compile(rf"https://{_LABEL}(\.{_LABEL})+(:(?P<port>[0-9]{{1,5}}))?")
_LINK = re.compile(r"https?://[!-~]+")
_USER = re.compile(r"[!#-\[\]-~]{1,200}")
_PLAIN_KEYS = (
    *("name", "region", "domain", "hosted_zone", "size", "currency", "shop_name", "runbooks"),
    "ssh_key",
)
# What an alarm says has to have room for the link, and the start of a machine for the name.
_LONGEST_LINK, _LONGEST_NAME = 300, 100
_HIGHEST_PORT = 65_535
_EXAMPLES = ("example.com", "example.org", "example.net")
EXAMPLE_ZONE = "Z0123456789ABCDEFGHIJ"


class Size(NamedTuple):
    """Machines of one kind, on Graviton. `processes`: workers of each, one for a virtual CPU."""

    instance: str
    processes: int
    least: int
    most: int
    disk_gb: int
    # Zones in which interface endpoints stand. An endpoint is paid for by the zone; machines of a
    # zone without one reach it in the other.
    endpoint_zones: int


SIZES = {
    "small": Size("t4g.small", 2, 2, 4, 20, 1),
    "medium": Size("c7g.large", 2, 2, 6, 40, 2),
    "large": Size("c7g.xlarge", 4, 3, 9, 80, 2),
}


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server that takes the shop's mails; its password is in Secrets Manager."""

    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 587
    user: str = ""
    tls: Literal["starttls", "tls"] = "starttls"


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that differs between one shop on AWS and another."""

    name: str
    region: str
    # Where customers reach the shop; its certificate and its records are made in the hosted zone.
    domain: str
    hosted_zone: str
    size: str
    # Who is told of alarms, by mail; and who is woken, the same people where none are named.
    operators: tuple[str, ...]
    on_call: tuple[str, ...] = ()
    # beside: people of a user pool, and the shop's own accounts; the shop looks at each token.
    # required: the API's routes that need somebody take tokens of the pool alone, at the gateway.
    cognito: Literal["off", "beside", "required"] = "off"
    cache: bool = False
    payments: bool = False
    # A firewall before the shop (AWS WAF).
    firewall: bool = True
    # A way to the internet, for webhooks and for mail servers outside AWS.
    outbound: bool = False
    # Tables and logs are kept when the stacks are removed, and can't be removed by accident.
    protected: bool = True
    # Orders and products as files in S3 each night, for analysis.
    exports: bool = False
    cors_origins: tuple[str, ...] = ()
    # Networks that may use SSH; empty: none, Session Manager is the way in.
    ssh_from: tuple[str, ...] = ()
    ssh_key: str = ""
    # The two zones of the region; empty: the first two that AWS names. Not every zone has VPC links
    # and Graviton.
    zones: tuple[str, ...] = ()
    log_days: Literal[7, 14, 30, 60, 90, 180, 365] = 30
    currency: str = "GBP"
    shop_name: str = "Storekeeper"
    mail_from: str = ""
    mail: Mail | None = None
    # Where docs/aws.md is, for links in alarms; empty: they lead to the dashboard, which shows it.
    runbooks: str = ""

    def __post_init__(self) -> None:
        for key in _PLAIN_KEYS:
            _check(self, key)
        _check_people(self)
        _check_network(self)
        _check_mail(self)
        for key in ("operators", "on_call", "cors_origins", "ssh_from", "zones"):
            _check_once(self, key)
        if self.payments:
            raise _refused(
                "payments", True, "this Storekeeper has no payment provider yet; set it to false"
            )

    @property
    def machines(self) -> Size:
        return SIZES[self.size]

    @property
    def prefix(self) -> str:
        """What the names of everything begin with."""
        return f"storekeeper-{self.name}-"

    @property
    def namespace(self) -> str:
        """Of the shop's figures on CloudWatch."""
        return f"Storekeeper/{self.name}"

    @property
    def mails_by_ses(self) -> bool:
        """By Amazon SES in this region, which machines reach without the internet."""
        return self.mail is not None and self.mail.host == f"email-smtp.{self.region}.amazonaws.com"

    @property
    def woken(self) -> tuple[str, ...]:
        return self.on_call or self.operators


def load(name: str, folder: Path = FOLDER) -> Environment:
    """The environment of `folder/NAME.toml`; raises `SettingsError`."""
    path = folder / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.toml"))) or "none"
        raise SettingsError(f"there is no environment {name!r} in {folder}; there are: {known}")
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    if "name" in values:
        raise _refused("name", values["name"], "the name is the file's own; leave the key out")
    return read({"name": name, **values})


def read(values: dict[str, Any]) -> Environment:
    """The environment of these values; raises `SettingsError`."""
    for field in msgspec.structs.fields(Environment):
        if field.required and field.name not in values:
            raise SettingsError(
                f"{field.name} is missing; say what it is in the environment's file"
            )
        if field.name in values:
            value = values[field.name]
            try:
                msgspec.convert(value, field.type, strict=True)
            except msgspec.ValidationError as error:
                words = get_args(field.type) if get_origin(field.type) is Literal else ()
                remedy = f"give one of {', '.join(map(str, words))}" if words else str(error)
                raise _refused(field.name, value, remedy) from error
    for name in values:
        if name not in Environment.__struct_fields__:
            known = ", ".join(Environment.__struct_fields__)
            raise SettingsError(
                f"there is no key {name!r} in an environment's file; there are: {known}"
            )
    return msgspec.convert(values, Environment)


@functools.cache
def regions() -> tuple[str, ...]:
    """All that AWS offers to everybody."""
    return tuple(botocore.session.get_session().get_available_regions("dynamodb"))


def _refused(key: str, value: object, remedy: str) -> SettingsError:
    shown = "true" if value is True else repr(value)
    return SettingsError(f"{key} = {shown} can't be used: {remedy}")


def _check(given: Environment, key: str) -> None:
    value = getattr(given, key)
    remedy = _remedy(key, value)
    if remedy:
        raise _refused(key, value, remedy)


def _remedy(key: str, value: str) -> str:
    """What to give instead; empty where the value will do."""
    match key:
        case "region" if value not in regions():
            return "give a region of AWS, such as eu-west-1"
        case "size" if value not in SIZES:
            return f"give one of {', '.join(SIZES)}"
        case "domain" if not _DOMAIN.fullmatch(value):
            return "give the name under which customers reach the shop, such as shop.example.com"
        case "hosted_zone" if not _ZONE.fullmatch(value):
            return "give the id of the domain's zone in Route 53, such as Z0123456789ABCDEFGHIJ"
        case "name" if not _NAME.fullmatch(value):
            return (
                "name the file in up to 11 small letters, digits and single -, beginning with a "
                "letter and not ending with -"
            )
        case "currency" if value not in MINOR_DIGITS:
            return "give a code of ISO 4217 that is in circulation, such as GBP"
        case "shop_name" if not _is_line(value, _LONGEST_NAME):
            return f"give a name in one line, of up to {_LONGEST_NAME} letters"
        case "runbooks" if value and not (_LINK.fullmatch(value) and len(value) <= _LONGEST_LINK):
            return (
                "give the address of docs/aws.md, such as https://wiki.example.com/aws.md, of up to "
                f"{_LONGEST_LINK} letters, or leave it out"
            )
        case "ssh_key" if value and not _is_line(value, 255):
            return "give the name of a key pair of EC2"
    return ""


def _is_line(text: str, longest: int) -> bool:
    return bool(text.strip()) and text.isprintable() and len(text) <= longest


def _check_people(given: Environment) -> None:
    if not given.operators:
        raise _refused("operators", [], "give the address of somebody who is told of alarms")
    for key in ("operators", "on_call"):
        for address in getattr(given, key):
            if not is_address(address):
                raise _refused(key, address, "give addresses such as ops@example.com")


def _check_mail(given: Environment) -> None:
    if given.mail_from and not is_address(given.mail_from):
        raise _refused("mail_from", given.mail_from, "give an address such as shop@example.com")
    if bool(given.mail_from) != bool(given.mail):
        raise SettingsError(
            "mail_from and mail go together: name the address that mail is sent from and the "
            "server that takes it, or neither"
        )
    if given.mail is None:
        return
    if not _DOMAIN.fullmatch(given.mail.host):
        raise _refused(
            "mail.host",
            given.mail.host,
            f"give the server's name, such as email-smtp.{given.region}.amazonaws.com",
        )
    if not _USER.fullmatch(given.mail.user):
        raise _refused("mail.user", given.mail.user, "give the user's name at the server")
    if not given.mails_by_ses and not given.outbound:
        raise _refused(
            "mail.host",
            given.mail.host,
            f"without outbound = true machines reach SES in {given.region} alone",
        )


def _check_once(given: Environment, key: str) -> None:
    values = getattr(given, key)
    twice = next((one for one in values if values.count(one) > 1), None)
    if twice is not None:
        raise _refused(key, twice, "name it once; it is there twice")


def _check_network(given: Environment) -> None:
    for zone in given.zones:
        if not re.fullmatch(rf"{given.region}[a-z]", zone):
            raise _refused("zones", zone, f"give zones of the region, such as {given.region}a")
    if given.zones and len(given.zones) != ZONES:
        raise _refused("zones", list(given.zones), f"give {ZONES} of the region, or leave it out")
    for origin in given.cors_origins:
        match = _ORIGIN.fullmatch(origin)
        if not match or int(match["port"] or 0) > _HIGHEST_PORT:
            raise _refused("cors_origins", origin, "give origins such as https://www.example.com")
    for network in given.ssh_from:
        try:
            found = ipaddress.ip_network(network)
        except ValueError as error:
            raise _refused("ssh_from", network, "give networks such as 203.0.113.7/32") from error
        if found.version != 4 or found.prefixlen < 24:
            raise _refused("ssh_from", network, "give networks of 256 addresses of IPv4 at most")
    if bool(given.ssh_from) != bool(given.ssh_key):
        raise SettingsError(
            "ssh_from and ssh_key go together: name the networks and the key pair, or neither"
        )


def of_an_example(given: Environment) -> tuple[str, str] | None:
    """A key, and its value that stands in documents and belongs to nobody; None where all are the
    shop's own."""
    people = [("operators", one) for one in given.operators]
    people += [("on_call", one) for one in given.on_call]
    for key, value in (("domain", given.domain), ("mail_from", given.mail_from), *people):
        if f".{value.rpartition('@')[2]}".endswith(tuple(f".{one}" for one in _EXAMPLES)):
            return key, value
    return ("hosted_zone", EXAMPLE_ZONE) if given.hosted_zone == EXAMPLE_ZONE else None
