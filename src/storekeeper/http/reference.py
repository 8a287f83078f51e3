"""The pages about the API, rendered from its document; nothing is said here that isn't there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from storekeeper import __version__
from storekeeper.domain.errors import catalogue
from storekeeper.domain.types import Struct
from storekeeper.http.document import EVERYWHERE
from storekeeper.http.examples import ID, encoded, problem_example
from storekeeper.http.schemas import REF

Members = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
# Beyond this a limit says only which type keeps the number.
_SAFE = 10**15
_COMMON = frozenset(EVERYWHERE)


class Type(Struct, frozen=True, kw_only=True):
    """A schema in a few words; `ref` names the component that it refers to."""

    text: str
    ref: str | None = None
    limits: str = ""


class FieldLine(Struct, frozen=True, kw_only=True):
    name: str
    type: Type
    required: bool
    description: str
    place: str = ""


class ResponseLine(Struct, frozen=True, kw_only=True):
    status: str
    phrase: str
    description: str
    type: Type | None
    example: str
    headers: tuple[str, ...]
    problems: tuple[str, ...]


class OperationEntry(Struct, frozen=True, kw_only=True):
    """One operation as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    access: str
    curl: str
    parameters: tuple[FieldLine, ...]
    body_types: tuple[str, ...]
    body: Type | None
    body_required: bool
    body_example: str
    answers: tuple[ResponseLine, ...]
    problems: tuple[ResponseLine, ...]


def reference_page(document: Members, public_url: str) -> bytes:
    """The whole reference, grouped by tag."""
    entries: dict[str, list[OperationEntry]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                entry = _entry(path, method, item[method], public_url)
                entries.setdefault(item[method]["tags"][0], []).append(entry)
    groups = [
        {
            "label": (tag["name"][0].upper() + tag["name"][1:]).replace("Api ", "API "),
            "id": tag["name"].replace(" ", "-"),
            "description": tag["description"],
            "operations": entries[tag["name"]],
        }
        for tag in document["tags"]
        if tag["name"] in entries
    ]
    schemas = [
        {
            "name": name,
            "description": schema.get("description", ""),
            "strict": schema.get("additionalProperties") is False,
            "fields": _fields(schema),
        }
        for name, schema in document["components"]["schemas"].items()
    ]
    return _render(
        "reference.html",
        info=document["info"],
        groups=groups,
        schemas=schemas,
        headers=document["components"]["headers"],
        public_url=public_url,
    )


def errors_page() -> bytes:
    """Every error code with what to do about it."""
    kinds = sorted(catalogue(), key=lambda kind: (kind.status, kind.code))
    entries = [
        {
            "code": kind.code,
            "status": kind.status,
            "phrase": HTTPStatus(kind.status).phrase,
            "title": kind.title,
            "remedy": kind.remedy,
            "example": encoded(problem_example(kind)),
        }
        for kind in kinds
    ]
    return _render("errors.html", errors=entries)


def _entry(path: str, method: str, operation: Members, public_url: str) -> OperationEntry:
    body = operation.get("requestBody")
    content = body["content"] if body else {}
    first: Members = next(iter(content.values()), {})
    answers: list[ResponseLine] = []
    problems: list[ResponseLine] = []
    for status, response in operation["responses"].items():
        line = _response(status, response)
        (problems if line.problems and line.type is None else answers).append(line)
    return OperationEntry(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        access=_access(operation["security"]),
        curl=_curl(path, method, operation, public_url),
        parameters=tuple(
            FieldLine(
                name=one["name"],
                type=_type(one["schema"]),
                required=one["required"],
                description=one["description"],
                place=one["in"],
            )
            for one in operation["parameters"]
        ),
        body_types=tuple(content),
        body=_type(first["schema"]) if first else None,
        body_required=bool(body and body["required"]),
        body_example=encoded(first["example"]) if "example" in first else "",
        answers=tuple(answers),
        problems=tuple(problems),
    )


def _response(status: str, response: Members) -> ResponseLine:
    content = response.get("content", {})
    plain = {media: one for media, one in content.items() if media != "application/problem+json"}
    first = next(iter(plain.values()), None)
    problem = content.get("application/problem+json", {})
    return ResponseLine(
        status=status,
        phrase=HTTPStatus(int(status)).phrase,
        description=response["description"],
        type=_type(first["schema"]) if first else None,
        example=encoded(first["example"]) if first and "example" in first else "",
        headers=tuple(name for name in response.get("headers", {}) if name not in _COMMON),
        problems=tuple(problem.get("examples", {})),
    )


def _access(security: list[dict[str, list[str]]]) -> str:
    scopes = [scope for one in security for scope in one.get("bearer", ())]
    if scopes:
        return "needs " + " or ".join(scopes)
    if {} not in security:
        return "needs log-in"
    return "open to all, log-in optional" if {"bearer": []} in security else "open to all"


def _curl(path: str, method: str, operation: Members, public_url: str) -> str:
    """The operation as a command that can be pasted into a shell."""
    for one in operation["parameters"]:
        if one["in"] == "path":
            value = str(one["schema"].get("examples", [ID])[0])
            path = path.replace(f"{{{one['name']}}}", quote(value, safe=""))
    needed = [one for one in operation["parameters"] if one["in"] == "query" and one["required"]]
    query = "&".join(f"{one['name']}=…" for one in needed)
    parts = [f"curl {shlex.quote(public_url + path + (f'?{query}' if query else ''))}"]
    body = operation.get("requestBody")
    if method != ("post" if body else "get"):
        parts[0] = parts[0].replace("curl ", f"curl -X {method.upper()} ", 1)
    if any("bearer" in one for one in operation["security"]):
        parts.append('-H "Authorization: Bearer $TOKEN"')
    headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
    if "If-Match" in headers:
        parts.append("-H 'If-Match: \"3\"'")
    if "Idempotency-Key" in headers:
        parts.append('-H "Idempotency-Key: $(uuidgen)"')
    if body:
        media, content = next(iter(body["content"].items()))
        parts.append(f"-H 'Content-Type: {media}'")
        if "example" in content:
            parts.append("-d " + shlex.quote(_short(content["example"])))
        else:
            parts.append("--data-binary @FILE.csv")
    return " \\\n  ".join(parts)


def _short(value: Any) -> str:
    """JSON on one line where it fits."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    return text if len(text) <= 70 else encoded(value)


def _fields(schema: Members) -> list[FieldLine]:
    return [
        FieldLine(
            name=name,
            type=_type(one),
            required=name in schema.get("required", ()),
            description=one.get("description", ""),
        )
        for name, one in schema.get("properties", {}).items()
    ]


def _type(schema: Members) -> Type:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return Type(text=name, ref=name)
    if "anyOf" in schema:
        found = [_type(one) for one in schema["anyOf"]]
        ref = next((one.ref for one in found if one.ref), None)
        return Type(text=" or ".join(one.text for one in found), ref=ref, limits=_limits(schema))
    kinds = schema.get("type", "any")
    if isinstance(kinds, list):
        rest = _type({**schema, "type": kinds[0]})
        return Type(text=f"{rest.text} or null", ref=rest.ref, limits=rest.limits)
    if kinds == "array" and "items" in schema:
        inner = _type(schema["items"])
        return Type(text=f"list of {inner.text}", ref=inner.ref, limits=_limits(schema))
    if kinds == "object" and isinstance(schema.get("additionalProperties"), dict):
        inner = _type(schema["additionalProperties"])
        return Type(text=f"object of {inner.text}", ref=inner.ref, limits=_limits(schema))
    names = {"date-time": "time", "date": "date", "uuid": "UUID", "binary": "bytes"}
    return Type(text=names.get(schema.get("format", ""), str(kinds)), limits=_limits(schema))


def _limits(schema: Members) -> str:
    found = []
    if "enum" in schema:
        found.append(" | ".join(str(one) for one in schema["enum"] if one is not None))
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ):
        least, most = schema.get(low), schema.get(high)
        if least is not None and most is not None and -least > _SAFE:
            found.append("64 bits")
        elif least is not None and most is not None:
            found.append(f"{_number(least)} to {_number(most)}{unit}")
        elif most is not None:
            found.append(f"at most {_number(most)}{unit}")
        elif least is not None:
            found.append(f"at least {_number(least)}{unit}")
    if schema.get("default") not in (None, "", [], ()):
        found.append(f"otherwise {encoded(schema['default'])}")
    return "; ".join(found)


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def prose(text: str) -> Markup:
    """Paragraphs with `code`, **strong** and [links](/path); everything else is escaped."""
    paragraphs = []
    for part in text.strip().split("\n\n"):
        found = str(escape(part))
        found = re.sub(r"`([^`]+)`", r"<code>\1</code>", found)
        found = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", found)
        found = re.sub(r"\[([^\]]+)\]\((/[^)\s]*)\)", r'<a href="\2">\1</a>', found)
        paragraphs.append(f"<p>{found}</p>")
    # Escaped above; only the marks that this function puts in are left as they are.
    return Markup("".join(paragraphs))  # noqa: S704


def _render(name: str, **values: Any) -> bytes:
    pages = Environment(
        loader=PackageLoader("storekeeper.http", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["prose"] = prose
    return (
        pages.get_template(name)
        .render(version=__version__, page=name.removesuffix(".html"), **values)
        .encode()
    )
