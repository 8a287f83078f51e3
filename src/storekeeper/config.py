"""Settings: read once at start from flags, environment and file; passed down, never looked up."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

PREFIX = "STOREKEEPER_"
SECRET_FIELDS = frozenset({"secret_key", "old_secret_keys", "smtp_password"})
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
    dynamodb_prefix: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.-]{0,64}$")] = "storekeeper-"
    # Empty: what AWS's own variables, its configuration file or the machine's role say.
    aws_region: str = ""
    aws_profile: str = ""
    aws_endpoint_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8_000
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    public_url: str = "http://127.0.0.1:8000"
    shop_name: str = "Storekeeper demo shop"
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "GBP"
    # Signs access tokens and guests' links; made and kept beside the database when empty.
    secret_key: str = ""
    old_secret_keys: tuple[str, ...] = ()
    access_token_seconds: Positive = 900
    refresh_token_days: Positive = 30
    reservation_seconds: Positive = 900
    sweep_seconds: Positive = 5
    allocation: Literal["one_if_possible", "priority"] = "one_if_possible"
    write_batch: Positive = 256
    write_queue: Positive = 4_096
    max_body_bytes: Positive = 2_097_152
    max_upload_bytes: Positive = 268_435_456
    requests_per_minute: Natural = 1_200
    trusted_proxies: tuple[str, ...] = ()
    password_hashes_at_once: Positive = 2
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    notify_console: bool = True
    mail_from: str = "shop@localhost"
    smtp_host: str = ""
    smtp_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 587
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    webhook_private_addresses: bool = False
    delivery_attempts: Positive = 12
    shutdown_seconds: Positive = 20

    def __post_init__(self) -> None:
        if 0 < len(self.secret_key) < SHORTEST_SECRET:
            raise SettingsError(
                f"secret_key has {len(self.secret_key)} characters and needs at least "
                f"{SHORTEST_SECRET}, as whoever guesses it signs tokens; make one with "
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
                    f"old_secret_keys: number {place} has {len(key)} characters and needs at "
                    f"least {SHORTEST_OLD_SECRET}, as tokens signed with it are still taken"
                )

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
    values: dict[str, Any] = _from_file(path) if path else {}
    known = set(Settings.__struct_fields__)
    for name, text in environ.items():
        field = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or field == "config":
            continue
        if field not in known:
            raise SettingsError(f"{name} is set, but there is no such setting; see `config --help`")
        values[field] = text
    values.update({name: value for name, value in (flags or {}).items() if value is not None})
    return _convert(values)


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


def _convert(values: dict[str, Any]) -> Settings:
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    converted: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"there is no setting {name!r}; see `storekeeper config --help`")
        is_list = isinstance(known[name].default, tuple)
        raw = (
            [part.strip() for part in value.split(",") if part.strip()]
            if (is_list and isinstance(value, str))
            else value
        )
        try:
            converted[name] = msgspec.convert(raw, known[name].type, strict=False)
        except msgspec.ValidationError as error:
            shown_value = "(hidden)" if name in SECRET_FIELDS else repr(value)
            raise SettingsError(f"{name} = {shown_value} can't be used: {error}") from error
    return Settings(**converted)
