"""Holds every answer of the API to its own document: status, headers, body, problems."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema_rs

PROBLEM = "application/problem+json"
# What every answer may have; the rest has to be documented where it occurs.
EVERYWHERE = {
    "allow",
    "cache-control",
    "content-disposition",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "referrer-policy",
    "strict-transport-security",
    "vary",
    "x-content-type-options",
}


class Contract:
    """The OpenAPI document, asked whether an answer is one that it promises."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path)
            # Literal paths before those with parameters, as the router has it.
            for path in sorted(document["paths"], key=lambda one: (one.count("{"), one))
        ]
        self._validators: dict[str, Any] = {}

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any] | None]:
        """The path's pattern and its operation; None for what isn't documented."""
        method = "get" if method == "HEAD" else method.lower()
        plain = "/" + "/".join(part for part in path.split("/") if part)
        for pattern, template in self._paths:
            if pattern.fullmatch(plain):
                return template, self.document["paths"][template].get(method)
        return plain, None

    def check(self, request: httpx.Request, answer: httpx.Response) -> None:
        """Raises `AssertionError` for an answer that nobody was told of."""
        what = f"{request.method} {request.url.path} -> {answer.status_code}: {answer.text[:500]}"
        assert answer.status_code < 500 or answer.status_code == 503, what
        for name in ("x-request-id", "x-content-type-options", "cache-control"):
            assert name in answer.headers, f"{what} has no {name}"
        is_problem = answer.headers.get("content-type") == PROBLEM
        if is_problem:
            self._check_problem(request, answer, what)
        template, operation = self.operation(request.method, request.url.path)
        is_misspelled = (
            "{" not in template and request.url.raw_path.split(b"?")[0] != template.encode()
        )
        if operation is None or (is_misspelled and answer.status_code == 404):
            if not request.url.path.startswith(("/docs", "/shop")) and request.url.path != "/":
                assert answer.status_code in (204, 400, 401, 404, 405, 422, 429), what
            return
        promised = operation["responses"].get(str(answer.status_code))
        assert promised is not None, f"{what} is documented nowhere"
        headers = {name.lower() for name in promised.get("headers", {})}
        assert set(answer.headers) - EVERYWHERE <= headers, f"{what}: {dict(answer.headers)}"
        if request.method == "HEAD" or not answer.content:
            return
        media = answer.headers["content-type"].split(";")[0]
        assert media in promised.get("content", {}), f"{what} is of type {media}"
        if is_problem:
            codes = promised["content"][PROBLEM]["examples"]
            assert answer.json()["code"] in codes, f"{what}: this code is not documented there"
        elif media.endswith("json"):
            self.conforms(promised["content"][media]["schema"], answer.json(), what)

    def _check_problem(self, request: httpx.Request, answer: httpx.Response, what: str) -> None:
        if request.method == "HEAD":
            return
        body = answer.json()
        schema = self.document["components"]["schemas"]["Problem"]
        self.conforms(schema, body, what)
        assert set(body) <= set(schema["properties"]), f"{what}: a member is not documented"
        assert body["status"] == answer.status_code, what
        assert body["request_id"] == answer.headers["x-request-id"], what
        assert body["type"] == f"/docs/errors#{body['code']}", what
        assert body["code"] in self.document["components"]["examples"], what
        assert body["detail"], what

    def conforms(self, schema: dict[str, Any], value: Any, what: str) -> None:
        key = str(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        for error in self._validators[key].iter_errors(value):
            raise AssertionError(f"{what} breaks its schema: {error}")
