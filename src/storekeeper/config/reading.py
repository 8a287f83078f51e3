"""Where settings come from: flags, environment, a TOML file; and how they are shown."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from storekeeper.config.checks import SettingsError
from storekeeper.config.settings import Settings

PREFIX = "STOREKEEPER_"
SECRET_FIELDS = frozenset({"secret_key", "old_secret_keys", "smtp_password", "cache_url"})
# What `Settings` says of itself.
SOURCES = "sources"
_LIMIT = re.compile(r"Expected `(?:int|float)` (?P<sign>>=|<=) (?P<limit>\S+)")
_KIND = re.compile(r"Expected `(?P<kind>int|float|bool|str)(?: \| null)?`, got")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text (in quotes, in a file)",
}


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
    sources = dict.fromkeys(values, f"file {path}")
    known = set(Settings.__struct_fields__) - {SOURCES}
    for name, text in environ.items():
        field = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or field == "config":
            continue
        if field not in known:
            raise SettingsError(f"{name} is set, but there is no such setting; see `config --help`")
        values[field] = text
        texts.add(field)
        sources[field] = name
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values.update(given)
    sources |= {name: f"--{name.replace('_', '-')}" for name in given}
    return msgspec.structs.replace(_convert(values, texts - given.keys()), sources=sources)


def shown(settings: Settings) -> dict[str, Any]:
    """The settings for people to look at, secrets hidden."""
    found: dict[str, Any] = msgspec.to_builtins(settings)
    del found[SOURCES]
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
    del known[SOURCES]
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
            raise SettingsError(
                f"{name} = {shown_value} can't be used: {_plain(error, known[name].type)}"
            ) from error
    return Settings(**converted)


def _plain(error: msgspec.ValidationError, kind: Any) -> str:
    """What is wrong in words for people; msgspec speaks of its types."""
    text = str(error)
    if text.startswith("Invalid enum value"):
        return f"it must be one of {', '.join(map(str, get_args(kind)))}"
    if found := _LIMIT.fullmatch(text):
        most = "at least" if found["sign"] == ">=" else "at most"
        return f"it must be {most} {found['limit']}"
    if found := _KIND.match(text):
        return f"it must be {_KINDS[found['kind']]}"
    return text
