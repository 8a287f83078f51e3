"""Turns what msgspec says of bad input into the shop's own refusal, in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from storekeeper.domain.errors import Invalid

# Names of unknown fields come from outside and may be of any length.
_MAX_NAME = 100
_PLACE = re.compile(r" - at (?P<key>`key` in )?`\$?(?P<where>[^`]*)`$")
_SOME_VALUE = "[...]"
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<item>[^\]]*)\]")
_MISSING = re.compile(r"Object missing required field `(?P<name>.+)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_KIND = re.compile(r"Expected `(?P<wanted>[^`]+)`(?:, got `(?P<got>[^`]+)`)?")
_LIMIT = re.compile(r"Expected `(?:int|float)` (?P<sign><=|>=|<|>) (?P<limit>\S+)")
_LENGTH = re.compile(r"Expected `(?P<of>\w+)` of length (?P<sign><=|>=) (?P<limit>\d+)")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
    "date": "a date",
}
_UNITS = {
    "str": ("character", "characters"),
    "array": ("item", "items"),
    "object": ("entry", "entries"),
}
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_PLAIN = {
    "Invalid RFC3339 encoded datetime": "a time with its zone, such as 2026-01-31T12:00:00Z",
    "Expected `datetime` with a timezone component": (
        "a time with its zone, such as 2026-01-31T12:00:00Z"
    ),
    "Invalid RFC3339 encoded date": "a date, such as 2026-01-31",
    "Number out of range": "a smaller number",
    "Integer value out of range": "a smaller number",
}


def field_and_reason(error: Exception | str, kind: Any = None) -> tuple[str | None, str]:
    """The path of the input that is wrong, and what is wrong with it: words that go on from the
    field's name, such as "must be at least 1".

    `kind` is the type that the input was to become; what it allows is told only if it is known.
    """
    message = str(error)
    found = _PLACE.search(message)
    what = message[: found.start()] if found else message
    where = found["where"] if found else ""
    is_key = bool(found and found["key"])
    if unknown := _UNKNOWN.fullmatch(what):
        return _inside(where, unknown["name"][:_MAX_NAME]), _not_there(_at(kind, where))
    if missing := _MISSING.fullmatch(what):
        return _inside(where, missing["name"]), "is missing"
    allowed = [] if kind is None else _at(kind, where, is_key=is_key)
    reason = _reason(what, allowed)
    field = where.lstrip(".") or None
    if field and _SOME_VALUE in field:
        # Which of the names it is, msgspec doesn't say.
        return field.partition(_SOME_VALUE)[0], f"has a value that {reason}"
    return field, f"has a name that {reason}" if is_key else reason


def invalid_of(error: Exception | str, kind: Any = None, *, named: str | None = None) -> Invalid:
    """The refusal that says so; `named` is the field if the message itself names none."""
    field, reason = field_and_reason(error, kind)
    field = field or named
    return Invalid(f"{field or 'the body'} {reason}", field=field)


def _reason(what: str, allowed: list[inspect.Type]) -> str:
    if what in _PLAIN:
        return f"must be {_PLAIN[what]}"
    if what.startswith("Invalid enum value"):
        values = [str(value) for info in allowed for value in _values(info)]
        return f"must be one of {', '.join(values)}" if values else "isn't one of those allowed"
    if "matching regex" in what:
        return f"must be {_form(what, allowed)}"
    if found := _LENGTH.fullmatch(what):
        one, many = _UNITS[found["of"]]
        unit = one if found["limit"] == "1" else many
        return f"must have {_SIGNS[found['sign']]} {found['limit']} {unit}"
    if found := _LIMIT.fullmatch(what):
        return f"must be {_SIGNS[found['sign']]} {found['limit']}"
    if found := _KIND.fullmatch(what):
        wanted = " or ".join(_KINDS.get(name, name) for name in found["wanted"].split(" | "))
        if found["got"] == "float" and "number" in wanted:
            return f"must be {wanted}, without decimals"
        got = _KINDS.get(found["got"] or "", found["got"])
        return f"must be {wanted}, not {got}" if got else f"must be {wanted}"
    return what


def _not_there(parents: list[inspect.Type]) -> str:
    names = sorted({one.encode_name for info in parents for one in _fields(info)})
    there = f"; there are {', '.join(names)}" if names else ""
    return f"isn't a field here{there}"


def _form(what: str, allowed: list[inspect.Type]) -> str:
    """What the pattern in the message stands for, as its type says (`domain.types`)."""
    for info in allowed:
        if isinstance(info, inspect.Metadata) and isinstance(info.type, inspect.StrType):
            form = (info.extra or {}).get("form")
            if form and what.endswith(repr(info.type.pattern)):
                return str(form)
    return "without the characters that are not allowed here"


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}".lstrip(".")


def _at(kind: Any, where: str, *, is_key: bool = False) -> list[inspect.Type]:
    """What may stand at a path such as `.lines[0].sku` of a value of this type."""
    found = [] if kind is None else list(_alternatives(inspect.type_info(kind)))
    for step in _STEP.finditer(where):
        found = [
            one
            for info in found
            for inner in _inner(_bare(info), step["name"])
            for one in _alternatives(inner)
        ]
    if is_key:
        keys = [_bare(info) for info in found]
        return [info.key_type for info in keys if isinstance(info, inspect.DictType)]
    return found


def _alternatives(info: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(_bare(info), inspect.UnionType):
        for one in _bare(info).types:
            yield from _alternatives(one)
    else:
        yield info


def _inner(info: Any, name: str | None) -> Iterator[inspect.Type]:
    """The types behind one step of a path: a field's by its name, an item's without."""
    if name is not None:
        yield from (one.type for one in _fields(info) if one.encode_name == name)
    elif isinstance(info, (inspect.ListType, inspect.VarTupleType)):
        yield info.item_type
    elif isinstance(info, inspect.DictType):
        yield info.value_type


def _fields(info: inspect.Type) -> tuple[inspect.Field, ...]:
    bare = _bare(info)
    return bare.fields if isinstance(bare, inspect.StructType) else ()


def _values(info: inspect.Type) -> tuple[Any, ...]:
    bare = _bare(info)
    return bare.values if isinstance(bare, inspect.LiteralType) else ()


def _bare(info: Any) -> Any:
    """The type without what is noted about it."""
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info
