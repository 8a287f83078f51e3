"""Accounts for admins, and everybody's own API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.accounts import ROLE_SCOPES, SCOPES, Account, Email, Role
from storekeeper.domain.errors import Invalid, NotFound, ShopError
from storekeeper.domain.types import ShortText, Struct
from storekeeper.http.answers import Answer
from storekeeper.http.api_keys import NewApiKey
from storekeeper.services.account_removal import AccountRemoval
from storekeeper.services.accounts import Accounts
from storekeeper.services.api_keys import MOST_KEYS, ApiKeys, CreatedKey
from storekeeper.services.sessions import Sessions
from storekeeper.store.port import Page
from storekeeper.web.admin.days import MOST_CURSOR, day_of, next_day
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.pages import HTML
from storekeeper.web.visit import HOME, Visit, visit_of

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
PEOPLE = f"{BACK_OFFICE}/people"
KEYS = f"{BACK_OFFICE}/system/keys"
# Where one's own account is deleted, with the password.
OWN_ACCOUNT = f"{HOME}/account"
ROLES: tuple[Role, ...] = Role.__args__  # type: ignore[attr-defined]
ON_A_PAGE = 50


class NewPerson(Struct, frozen=True, kw_only=True):
    """An account to make for somebody else."""

    email: Email
    name: ShortText
    role: Role


class People(Controller):
    path = PEOPLE
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="users:read", media_type=HTML)
    async def people(self, request: PageRequest) -> Answer[bytes]:
        """Those of a role, or who has an address."""
        visit = visit_of(request)
        return await _people_page(visit, FormErrors(visit))

    @post("/", access="users:write", status_code=200, media_type=HTML)
    async def create(self, request: PageRequest) -> Answer[bytes]:
        """An account without a password; its owner sets one by link."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("new_email", "name")
        given = {name: visit.text(name) for name in ("name", "role")}
        given["email"] = visit.text("new_email")
        wanted = None if errors else _new_person(visit, errors, given)
        if wanted is not None:
            try:
                account = await accounts_of(visit).create(
                    visit.call("", None), email=wanted.email, name=wanted.name, role=wanted.role
                )
            except ShopError as error:
                if error.status >= 500:
                    raise
                _note(errors, error)
            else:
                visit.tell(visit.say("The account is made."))
                return visit.go(f"{PEOPLE}/{account.id}")
        return await _people_page(visit, errors)

    @get("/{account_id:str}", access="users:read", media_type=HTML)
    async def one(self, request: PageRequest, account_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        return await _person_page(visit, account_id, FormErrors(visit))

    @post("/{account_id:str}/role", access="users:write", status_code=200, media_type=HTML)
    async def set_role(self, request: PageRequest, account_id: IdPath) -> Answer[bytes]:
        """In force with the next request; refused for the last admin."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        role = next((one for one in ROLES if one == visit.text("role")), None)
        version = visit.text("version")
        if role is None:
            errors.add("role", visit.say("There is no such role."))
            return await _person_page(visit, account_id, errors)
        try:
            await accounts_of(visit).set_role(
                visit.call("", None),
                account_id,
                role,
                int(version) if version.isdecimal() and len(version) < 10 else 0,
            )
        except ShopError as error:
            return await _refused(visit, account_id, error, "role")
        visit.tell(visit.say("The role is changed."))
        if account_id == visit.principal.account_id and role != "admin":
            return visit.go(BACK_OFFICE if role == "staff" else HOME)
        return visit.go(f"{PEOPLE}/{account_id}")

    @post("/{account_id:str}/sessions", access="users:write", status_code=200, media_type=HTML)
    async def end_sessions(self, request: PageRequest, account_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        sessions: Sessions = visit.pages.shop.sessions
        try:
            await sessions.end_all(visit.call("", None), account_id)
        except ShopError as error:
            return await _refused(visit, account_id, error)
        visit.tell(visit.say("All sessions of this account are ended."))
        return visit.go(f"{PEOPLE}/{account_id}")

    @get("/{account_id:str}/delete", access="users:write", media_type=HTML)
    async def ask(self, request: PageRequest, account_id: IdPath) -> Answer[bytes]:
        """Says what deleting does, before anything is done."""
        visit = visit_of(request)
        if account_id == visit.principal.account_id:
            return visit.go(OWN_ACCOUNT)
        return await _delete_page(visit, account_id, FormErrors(visit))

    @post("/{account_id:str}/delete", access="users:write", status_code=200, media_type=HTML)
    async def delete(self, request: PageRequest, account_id: IdPath) -> Answer[bytes]:
        """Orders are kept, everything personal goes. Again changes nothing."""
        visit = visit_of(request)
        if account_id == visit.principal.account_id:
            return visit.go(OWN_ACCOUNT)
        removal: AccountRemoval = visit.pages.shop.account_removal
        errors = FormErrors(visit)
        try:
            await removal.remove(visit.call("", None), account_id)
        except ShopError as error:
            if error.status >= 500 or error.status == 404:
                raise
            errors.refuse(error)
            return await _delete_page(visit, account_id, errors)
        visit.tell(visit.say("The account is deleted."))
        return visit.go(PEOPLE)


class OwnKeys(Controller):
    """For whoever works in the back office; a key does what its owner's role allows at most."""

    path = KEYS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="reports:read", media_type=HTML)
    async def keys(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return await _keys_page(visit, FormErrors(visit))

    @post("/", access="reports:read", status_code=200, media_type=HTML)
    async def create(self, request: PageRequest) -> Answer[bytes]:
        """Answers with the key itself, this once: no later page can show it."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("name")
        scopes = visit.lists.get("scopes", [])
        if not scopes:
            errors.add("scopes", visit.say("Choose at least one."))
        given = {"name": visit.text("name"), "scopes": scopes, "expires_at": _expiry(visit, errors)}
        wanted = None if errors else errors.read(NewApiKey, given)
        if wanted is not None:
            try:
                created = await _keys(visit).create(
                    visit.call("api-keys.create", wanted, visit.text("key")),
                    name=wanted.name,
                    scopes=wanted.scopes,
                    expires_at=wanted.expires_at,
                )
            except ShopError as error:
                if error.status >= 500:
                    raise
                errors.note(error, fields=list(given))
            else:
                return await _keys_page(visit, errors, created)
        return await _keys_page(visit, errors)

    @post("/revoke", access="reports:read", status_code=200, media_type=HTML)
    async def revoke(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        try:
            await _keys(visit).revoke(visit.call("", None), visit.text("id")[:64])
        except NotFound:
            visit.tell(visit.say("There is no such key any more."), kind="bad")
        else:
            visit.tell(visit.say("The key is revoked. It stops with its next request."))
        return visit.go(KEYS)


def _new_person(visit: Visit, errors: FormErrors, given: dict[str, str]) -> NewPerson | None:
    """The form's field is called otherwise than the filter of the same page."""
    found = FormErrors(visit)
    wanted = found.read(NewPerson, given)
    for field in found.fields:
        errors.add("new_email" if field == "email" else field, found.get(field))
    return wanted


def _note(errors: FormErrors, error: ShopError) -> None:
    if error.field == "email":
        errors.refuse(error, "new_email")
    else:
        errors.note(error, fields=("name", "role"))


def _expiry(visit: Visit, errors: FormErrors) -> datetime | None:
    """The end of the day that was typed."""
    try:
        day = day_of(visit, visit.text("expires_at"), "expires_at")
    except Invalid as error:
        errors.add("expires_at", exactly(visit, error))
        return None
    return None if day is None else next_day(day)


async def _people_page(visit: Visit, errors: FormErrors) -> Answer[bytes]:
    filters = {name: visit.query.get(name, "").strip()[:254] for name in ("role", "email")}
    cursor = visit.query.get("cursor", "")[:MOST_CURSOR]
    role = next((one for one in ROLES if one == filters["role"]), None)
    page: Page[Account] = Page(items=())
    if filters["role"] and role is None:
        errors.add("filter_role", visit.say("There is no such role."))
    else:
        try:
            page = await accounts_of(visit).list(
                visit.call("", None),
                email=filters["email"] or None,
                role=role,
                limit=ON_A_PAGE,
                cursor=cursor or None,
            )
        except Invalid as error:
            errors.refuse(error)
    return admin_page(
        visit,
        "admin/people.html",
        status=422 if errors else 200,
        page=page,
        filters=filters,
        roles=ROLES,
        errors=errors,
    )


async def _person_page(visit: Visit, account_id: str, errors: FormErrors) -> Answer[bytes]:
    account = await accounts_of(visit).get(visit.call("", None), account_id)
    return admin_page(
        visit,
        "admin/person.html",
        status=422 if errors else 200,
        account=account,
        roles=ROLES,
        is_own=account.id == visit.principal.account_id,
        errors=errors,
    )


async def _delete_page(visit: Visit, account_id: str, errors: FormErrors) -> Answer[bytes]:
    account = await accounts_of(visit).get(visit.call("", None), account_id)
    return admin_page(
        visit,
        "admin/person_delete.html",
        status=422 if errors else 200,
        account=account,
        errors=errors,
    )


async def _refused(
    visit: Visit, account_id: str, error: ShopError, field: str = ""
) -> Answer[bytes]:
    if error.status >= 500 or error.status == 404:
        raise error
    errors = FormErrors(visit)
    errors.refuse(error, field)
    return await _person_page(visit, account_id, errors)


async def _keys_page(
    visit: Visit, errors: FormErrors, created: CreatedKey | None = None
) -> Answer[bytes]:
    allowed = ROLE_SCOPES[visit.principal.role] if visit.principal.role in ROLES else frozenset()
    return admin_page(
        visit,
        "admin/keys.html",
        status=422 if errors else 200,
        # All of them: there are at most `MOST_KEYS`.
        keys=(await _keys(visit).list(visit.principal, limit=MOST_KEYS)).items,
        scopes=[scope for scope in SCOPES if scope in allowed],
        created=created,
        errors=errors,
        typed={} if created is not None else visit.form,
        chosen=[] if created is not None else visit.lists.get("scopes", []),
        now=visit.pages.shop.tools.clock(),
    )


def accounts_of(visit: Visit) -> Accounts:
    found: Accounts = visit.pages.shop.accounts
    return found


def _keys(visit: Visit) -> ApiKeys:
    found: ApiKeys = visit.pages.shop.api_keys
    return found
