"""`/users`: registering, one's own account, and what admins do with others'."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from storekeeper.domain import errors
from storekeeper.domain.accounts import Account, Email, Password, Role, Session, normal_email
from storekeeper.domain.types import ShortText, Struct
from storekeeper.http.answers import Answer
from storekeeper.http.auth import NO_LOGIN, client_of, credentials_of, sessions_of
from storekeeper.http.openapi import BEARER, ETAG, needs_login, problems_of
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import IfMatch, Key
from storekeeper.http.security import (
    PUBLIC,
    SIGNED_IN,
    SIGNED_IN_OR_KEY,
    call_of,
    principal_of,
    version_of,
)
from storekeeper.services.account_removal import AccountRemoval
from storekeeper.services.accounts import Accounts

ApiRequest = Request[Any, Any, Any]
UserPath = Annotated[str, PathParameter(max_length=64, description="The user's `id`.")]
SessionPath = Annotated[str, PathParameter(max_length=64, description="The session's `id`.")]


class UserView(Struct, frozen=True, kw_only=True):
    """An account as its owner and admins see it."""

    id: str
    version: int
    email: str
    name: str
    role: Role
    created_at: datetime
    updated_at: datetime


class RegisterRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`password`: at least 10 characters, none of the most common ones."""

    email: Email
    password: Password
    name: ShortText


class ProfileRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; another `email` needs the current `password`."""

    name: ShortText | msgspec.UnsetType = msgspec.UNSET
    email: Email | msgspec.UnsetType = msgspec.UNSET
    password: Password | msgspec.UnsetType = msgspec.UNSET


class DeletionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The current password, because this can't be undone."""

    password: Password


class PasswordRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    current_password: Password
    new_password: Password


class RoleRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Role


class SessionView(Struct, frozen=True, kw_only=True):
    """One log-in on one device; `current` is the one that asks."""

    id: str
    client: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    current: bool


class Users(Controller):
    path = "/users"
    tags = ["users"]

    @post(
        "/",
        access=PUBLIC,
        costly=True,
        summary="Register",
        responses=problems_of(
            errors.AlreadyExists,
            errors.WeakPassword,
            errors.Invalid,
            errors.KeyReused,
            errors.NotFound,
        ),
        response_headers=[ETAG],
        security=NO_LOGIN,
    )
    async def register(
        self, request: ApiRequest, data: JSONBody[RegisterRequest], idempotency_key: Key = None
    ) -> Answer[UserView]:
        """Makes a customer's account; log in with it next."""
        # Whoever isn't known yet is told apart by the address; no hash is made of a password.
        owned = f"{normal_email(data.email)}\n{idempotency_key}" if idempotency_key else None
        call = call_of(
            request, "users.register", {"email": data.email, "name": data.name}, idempotency_key
        )
        registered = await accounts_of(request).register(
            msgspec.structs.replace(call, key=owned or ""),
            email=data.email,
            password=data.password,
            name=data.name,
            client_address=client_of(request),
        )
        return user_answer(registered.account, status=201, replayed=registered.is_replay)

    @get(
        "/",
        access="users:read",
        summary="List users",
        responses=needs_login(errors.Invalid),
        security=BEARER,
    )
    async def list_users(
        self,
        request: ApiRequest,
        limit: Limit = 50,
        cursor: Cursor = None,
        email: Annotated[
            str | None, QueryParameter(max_length=254, description="Exactly this address.")
        ] = None,
        role: Annotated[
            Role | None, QueryParameter(description="Only users with this role.")
        ] = None,
    ) -> Answer[PageView[UserView]]:
        """In the order in which they registered."""
        call = call_of(request, "", None, None)
        page = await accounts_of(request).list(
            call, email=email, role=role, limit=limit, cursor=cursor
        )
        return page_answer(request, page, user_view)

    @get(
        "/me",
        access=SIGNED_IN_OR_KEY,
        summary="Read one's own account",
        responses=needs_login(),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def read_own(self, request: ApiRequest) -> Answer[UserView]:
        """Whose access token or API key this is."""
        return user_answer(await accounts_of(request).own(principal_of(request)))

    @patch(
        "/me",
        access=SIGNED_IN,
        summary="Edit one's own account",
        responses=needs_login(
            errors.Invalid,
            errors.AlreadyExists,
            errors.WrongPassword,
            errors.PreconditionFailed,
            errors.Conflict,
        ),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def edit_own(
        self, request: ApiRequest, data: JSONBody[ProfileRequest], if_match: IfMatch = None
    ) -> Answer[UserView]:
        """Name and address; what isn't named stays. Another address needs the password."""
        account = await accounts_of(request).edit_own(
            call_of(request, "", None, None),
            name=given(data.name),
            email=given(data.email),
            password=given(data.password),
            client_address=client_of(request),
            if_match=version_of(if_match),
        )
        return user_answer(account)

    @delete(
        "/me",
        access=SIGNED_IN,
        summary="Delete one's own account",
        responses=needs_login(
            errors.Invalid,
            errors.WrongPassword,
            errors.OpenOrders,
            errors.LastAdmin,
            errors.Conflict,
        ),
        security=BEARER,
    )
    async def delete_own(self, request: ApiRequest, data: JSONBody[DeletionRequest]) -> None:
        """Orders are kept without address, e-mail and note. Refused while one is open."""
        await removal_of(request).remove_own(
            call_of(request, "", None, None),
            password=data.password,
            client_address=client_of(request),
        )

    @post(
        "/me/password",
        access=SIGNED_IN,
        status_code=204,
        summary="Change one's password",
        responses=needs_login(
            errors.Invalid, errors.WrongPassword, errors.WeakPassword, errors.Conflict
        ),
        security=BEARER,
    )
    async def change_password(self, request: ApiRequest, data: JSONBody[PasswordRequest]) -> None:
        """Ends all other sessions; the one that asks goes on."""
        await credentials_of(request).change_password(
            principal_of(request),
            data.current_password,
            data.new_password,
            client_address=client_of(request),
        )

    @get(
        "/me/sessions",
        access=SIGNED_IN,
        summary="List one's sessions",
        responses=needs_login(),
        security=BEARER,
    )
    async def list_sessions(self, request: ApiRequest) -> Answer[PageView[SessionView]]:
        """Where one is logged in; oldest first, all on one page."""
        principal = principal_of(request)
        sessions = await sessions_of(request).list(principal)
        views = (session_view(session, principal.session_id) for session in sessions)
        return Answer(PageView(items=tuple(views)))

    @delete(
        "/me/sessions/{session_id:str}",
        access=SIGNED_IN,
        summary="End one of one's sessions",
        responses=needs_login(errors.NotFound, errors.Conflict),
        security=BEARER,
    )
    async def end_session(self, request: ApiRequest, session_id: SessionPath) -> None:
        """Logs that device out, with its next request."""
        await sessions_of(request).end(principal_of(request), session_id)

    @delete(
        "/{user_id:str}/sessions",
        access="users:write",
        summary="Log a user out everywhere",
        responses=needs_login(errors.NotFound, errors.Conflict),
        security=BEARER,
    )
    async def end_sessions(self, request: ApiRequest, user_id: UserPath) -> None:
        """Ends all of somebody's sessions, with their next request. API keys stay."""
        await sessions_of(request).end_all(call_of(request, "", None, None), user_id)

    @get(
        "/{user_id:str}",
        access=SIGNED_IN_OR_KEY,
        summary="Read a user",
        responses=needs_login(errors.NotFound),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def read(self, request: ApiRequest, user_id: UserPath) -> Answer[UserView]:
        """One's own account; anybody's with the scope `users:read`. A deleted one isn't there any
        more."""
        call = call_of(request, "", None, None)
        # Registering points here, so it has to lead somewhere for whoever registered.
        if user_id == call.principal.account_id:
            return user_answer(await accounts_of(request).own(call.principal))
        return user_answer(await accounts_of(request).get(call, user_id))

    @patch(
        "/{user_id:str}",
        access="users:write",
        summary="Give a user another role",
        responses=needs_login(
            errors.NotFound,
            errors.Invalid,
            errors.LastAdmin,
            errors.PreconditionFailed,
            errors.Conflict,
        ),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def set_role(
        self,
        request: ApiRequest,
        user_id: UserPath,
        data: JSONBody[RoleRequest],
        if_match: IfMatch = None,
    ) -> Answer[UserView]:
        """In force with the user's next request. The last admin stays one."""
        account = await accounts_of(request).set_role(
            call_of(request, "", None, None), user_id, data.role, version_of(if_match)
        )
        return user_answer(account)

    @delete(
        "/{user_id:str}",
        access="users:write",
        summary="Delete a user",
        responses=needs_login(
            errors.NotFound, errors.OpenOrders, errors.LastAdmin, errors.Conflict
        ),
        security=BEARER,
    )
    async def remove(self, request: ApiRequest, user_id: UserPath) -> None:
        """Somebody else's account; deleting it again changes nothing."""
        await removal_of(request).remove(call_of(request, "", None, None), user_id)


def given(value: str | msgspec.UnsetType) -> str | None:
    return None if value is msgspec.UNSET else value


def user_view(account: Account) -> UserView:
    return UserView(
        id=account.id,
        version=account.version,
        email=account.email,
        name=account.name,
        role=account.role,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )


def user_answer(account: Account, *, status: int = 200, replayed: bool = False) -> Answer[UserView]:
    headers = {"ETag": f'"{account.version}"'}
    if status == 201:
        headers["Location"] = f"/users/{account.id}"
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(user_view(account), status_code=status, headers=headers)


def session_view(session: Session, current: str | None) -> SessionView:
    return SessionView(
        id=session.id,
        client=session.client,
        created_at=session.created_at,
        used_at=session.used_at,
        expires_at=session.expires_at,
        current=session.id == current,
    )


def accounts_of(request: ApiRequest) -> Accounts:
    found: Accounts = request.app.state.shop.accounts
    return found


def removal_of(request: ApiRequest) -> AccountRemoval:
    found: AccountRemoval = request.app.state.shop.account_removal
    return found
