"""`/users/me/identity`: what another identity provider says of who logged in there.

Only in shops that have one.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, put
from litestar.params import JSONBody

from storekeeper.domain import errors
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, ETAG, needs_login
from storekeeper.http.security import SIGNED_IN, principal_of
from storekeeper.http.users import UserView, user_answer
from storekeeper.identity.outside import Outside
from storekeeper.services.outside_accounts import OutsideAccounts

ApiRequest = Request[Any, Any, Any]


class IdentityRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`id_token`: the ID token that the provider gave beside the access token."""

    id_token: Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]


class OutsideProfiles(Controller):
    path = "/users/me/identity"
    tags = ["users"]

    @put(
        "/",
        access=SIGNED_IN,
        summary="Take name and address from an ID token",
        responses=needs_login(errors.Invalid, errors.AlreadyExists, errors.Conflict),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def tell(self, request: ApiRequest, data: JSONBody[IdentityRequest]) -> Answer[UserView]:
        """For accounts of the user pool, whose access tokens don't say where mail goes: send the ID
        token once after logging in. An address counts when the pool has verified it, and only if
        no other account has it."""
        shop = request.app.state.shop
        accounts: OutsideAccounts = shop.outside_accounts
        outside: Outside = shop.outside
        return user_answer(
            await accounts.tell_profile(principal_of(request), outside.tokens, data.id_token)
        )
