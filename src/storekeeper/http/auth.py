"""`/auth`: logging in and out, refreshing, and setting a forgotten password."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, post
from litestar.params import JSONBody

from storekeeper.domain import errors
from storekeeper.domain.accounts import Email, Password
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, needs_login, problems_of
from storekeeper.http.security import PUBLIC, SIGNED_IN, principal_of
from storekeeper.services.credentials import Credentials
from storekeeper.services.sessions import Sessions, Tokens

ApiRequest = Request[Any, Any, Any]
NO_LOGIN: list[dict[str, list[str]]] = [{}]
# Tokens must not stay in any cache on the way (RFC 6749, section 5.1).
NOT_KEPT = {"Cache-Control": "no-store"}
TokenText = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class LogInRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: Email
    password: Password


class RefreshRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    refresh_token: TokenText


class LogOutRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`everywhere`: all devices, not only this one."""

    everywhere: bool = False


class ForgotRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: Email


class ResetRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`token`: the secret of the link that was mailed."""

    token: TokenText
    new_password: Password


class TokensView(Struct, frozen=True, kw_only=True):
    """Send `access_token` as a bearer token for `expires_in` seconds; then refresh, once."""

    access_token: str
    expires_in: int
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme's name


class ForgotView(Struct, frozen=True, kw_only=True):
    detail: str = "if this address has an account, a link is on its way to it"


class Auth(Controller):
    path = "/auth"
    tags = ["auth"]

    @post(
        "/login",
        access=PUBLIC,
        costly=True,
        status_code=200,
        summary="Log in",
        responses=problems_of(errors.Unauthenticated, errors.Invalid),
        security=NO_LOGIN,
    )
    async def log_in(self, request: ApiRequest, data: JSONBody[LogInRequest]) -> Answer[TokensView]:
        """Begins a session. After repeated failures of an account or a client the next try has
        to wait, longer each time (429 with `Retry-After`)."""
        tokens = await sessions_of(request).log_in(
            data.email,
            data.password,
            client_address=client_of(request),
            client=request.headers.get("user-agent", ""),
        )
        return tokens_answer(tokens)

    @post(
        "/refresh",
        access=PUBLIC,
        status_code=200,
        summary="Exchange a refresh token for new tokens",
        responses=problems_of(errors.Unauthenticated, errors.Invalid, errors.Conflict),
        security=NO_LOGIN,
    )
    async def refresh(
        self, request: ApiRequest, data: JSONBody[RefreshRequest]
    ) -> Answer[TokensView]:
        """A refresh token is good once. One that is shown again ends its session, because
        somebody has copied it."""
        return tokens_answer(await sessions_of(request).refresh(data.refresh_token))

    @post(
        "/logout",
        access=SIGNED_IN,
        status_code=204,
        summary="Log out here, or everywhere",
        responses=needs_login(errors.Invalid, errors.Conflict),
        security=BEARER,
    )
    async def log_out(
        self, request: ApiRequest, data: JSONBody[LogOutRequest | None] = None
    ) -> None:
        """Takes effect with the next request, on every node."""
        everywhere = data is not None and data.everywhere
        await sessions_of(request).log_out(principal_of(request), everywhere=everywhere)

    @post(
        "/forgot",
        access=PUBLIC,
        costly=True,
        status_code=202,
        summary="Ask for a link to set a new password",
        responses=problems_of(errors.Invalid),
        security=NO_LOGIN,
    )
    async def forgot(
        self, request: ApiRequest, data: JSONBody[ForgotRequest]
    ) -> Answer[ForgotView]:
        """The answer is the same whether the address has an account or not."""
        await credentials_of(request).forgot_password(data.email, client_address=client_of(request))
        return Answer(ForgotView(), status_code=202)

    @post(
        "/reset",
        access=PUBLIC,
        costly=True,
        status_code=204,
        summary="Set a new password by a link",
        responses=problems_of(
            errors.LinkUsed, errors.WeakPassword, errors.Invalid, errors.Conflict
        ),
        security=NO_LOGIN,
    )
    async def reset(self, request: ApiRequest, data: JSONBody[ResetRequest]) -> None:
        """A link is good once, for an hour. All sessions of the account end."""
        await credentials_of(request).reset_password(data.token, data.new_password)


def client_of(request: ApiRequest) -> str:
    """The client's address, as the gate found it."""
    found: str = request.scope.get("client_address", "unknown")  # type: ignore[assignment]
    return found


def sessions_of(request: ApiRequest) -> Sessions:
    found: Sessions = request.app.state.shop.sessions
    return found


def credentials_of(request: ApiRequest) -> Credentials:
    found: Credentials = request.app.state.shop.credentials
    return found


def tokens_answer(tokens: Tokens) -> Answer[TokensView]:
    view = TokensView(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
    )
    return Answer(view, headers=NOT_KEPT)
