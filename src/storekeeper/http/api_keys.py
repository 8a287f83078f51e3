"""`/api-keys`: keys for integrations, shown once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.params import JSONBody, PathParameter

from storekeeper.domain import errors
from storekeeper.domain.accounts import SCOPES, ApiKey, Scope
from storekeeper.domain.types import ShortText, Struct
from storekeeper.http.answers import Answer
from storekeeper.http.auth import NOT_KEPT
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import Key
from storekeeper.http.security import SIGNED_IN, call_of, principal_of
from storekeeper.services.api_keys import ApiKeys

ApiRequest = Request[Any, Any, Any]
ApiKeyPath = Annotated[str, PathParameter(max_length=64, description="The key's `id`.")]


class NewApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scopes`: some of those that your role has. Without `expires_at` it lasts until revoked."""

    name: ShortText
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1, max_length=len(SCOPES))]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ApiKeyView(Struct, frozen=True, kw_only=True):
    """`key` is what to send as a bearer token; it is in the first answer only, never again."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    key: str | None = None


class ApiKeysController(Controller):
    path = "/api-keys"
    tags = ["api keys"]

    @post(
        "/",
        access=SIGNED_IN,
        summary="Create an API key",
        responses=needs_login(errors.Invalid, errors.KeyReused, errors.Conflict, errors.NotFound),
        security=BEARER,
    )
    async def create(
        self, request: ApiRequest, data: JSONBody[NewApiKey], idempotency_key: Key = None
    ) -> Answer[ApiKeyView]:
        """For staff and admins. Keep `key` now: only its hash is kept here. A retry with the
        same Idempotency-Key answers with the same key's record, without `key`."""
        created = await keys_of(request).create(
            call_of(request, "api-keys.create", data, idempotency_key),
            name=data.name,
            scopes=data.scopes,
            expires_at=data.expires_at,
        )
        headers = dict(NOT_KEPT)
        if created.is_replay:
            headers["Idempotent-Replayed"] = "true"
        return Answer(key_view(created.api_key, created.text), status_code=201, headers=headers)

    @get(
        "/",
        access=SIGNED_IN,
        summary="List one's API keys",
        responses=needs_login(errors.Invalid),
        security=BEARER,
    )
    async def list_keys(
        self, request: ApiRequest, limit: Limit = 50, cursor: Cursor = None
    ) -> Answer[PageView[ApiKeyView]]:
        """Oldest first, without the keys themselves."""
        page = await keys_of(request).list(principal_of(request), limit=limit, cursor=cursor)
        return page_answer(request, page, key_view)

    @delete(
        "/{api_key_id:str}",
        access=SIGNED_IN,
        summary="Revoke an API key",
        responses=needs_login(errors.NotFound),
        security=BEARER,
    )
    async def revoke(self, request: ApiRequest, api_key_id: ApiKeyPath) -> None:
        """It stops with its next request. Admins may revoke anybody's."""
        await keys_of(request).revoke(call_of(request, "", None, None), api_key_id)


def key_view(key: ApiKey, text: str | None = None) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        name=key.name,
        scopes=key.scopes,
        created_at=key.created_at,
        expires_at=key.expires_at,
        key=text,
    )


def keys_of(request: ApiRequest) -> ApiKeys:
    found: ApiKeys = request.app.state.shop.api_keys
    return found
