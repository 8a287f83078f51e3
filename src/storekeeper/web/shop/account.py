"""Logging in and out, registering, and one's own account."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, post

from storekeeper.domain.accounts import Account, Email
from storekeeper.domain.errors import ShopError, TooManyRequests, Unauthenticated
from storekeeper.domain.types import ShortText, Struct
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC, SIGNED_IN
from storekeeper.services.accounts import Accounts
from storekeeper.services.credentials import Credentials
from storekeeper.services.sessions import Sessions
from storekeeper.web import cookies
from storekeeper.web.carts import bring_cart
from storekeeper.web.forms import FormErrors
from storekeeper.web.kept import brought
from storekeeper.web.pages import HTML
from storekeeper.web.shop.frame import shop_page
from storekeeper.web.visit import HOME, Visit, safe_next, visit_of

PageRequest = Request[Any, Any, Any]
PROFILE = f"{HOME}/account"


class Registration(Struct, frozen=True, kw_only=True):
    """What a new customer says of themselves."""

    email: Email
    name: ShortText


class Doors(Controller):
    path = HOME
    opt = {"is_page": True}
    include_in_schema = False

    @get("/login", access=PUBLIC, media_type=HTML)
    async def login_form(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        if visit.is_known:
            return visit.go(safe_next(visit.query.get("next", "")))
        return await _login_page(visit, visit.query.get("next", ""), FormErrors(visit))

    @post("/login", access=PUBLIC, costly=True, status_code=200, media_type=HTML)
    async def login(self, request: PageRequest) -> Answer[bytes]:
        """Begins a session and goes back to where it was needed, with the guest's cart."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("email", "password")
        if not errors:
            try:
                await _begin(visit, visit.text("email"), visit.form["password"])
                back = safe_next(visit.text("next"))
                if kept := brought(visit):
                    access = visit.jar.get(cookies.ACCESS)
                    visit.principal = await visit.pages.bearer(access) or visit.principal
                    return await shop_page(visit, "shop/kept.html", kept=kept, back=back)
                return visit.go(back)
            except Unauthenticated:
                errors.add("", visit.say("The e-mail address or the password is wrong."))
            except TooManyRequests as error:
                errors.refuse(error)
        return await _login_page(visit, visit.text("next"), errors)

    @get("/register", access=PUBLIC, media_type=HTML)
    async def register_form(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return await _register_page(visit, visit.query.get("next", ""), FormErrors(visit))

    @post("/register", access=PUBLIC, costly=True, status_code=200, media_type=HTML)
    async def register(self, request: PageRequest) -> Answer[bytes]:
        """Makes the account and logs in."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("name", "email", "password")
        given = {"email": visit.text("email"), "name": visit.text("name")}
        wanted = None if errors else errors.read(Registration, given)
        if wanted is not None:
            accounts: Accounts = visit.pages.shop.accounts
            password = visit.form["password"]
            try:
                await accounts.register(
                    visit.call("users.register", wanted, visit.text("key")),
                    email=wanted.email,
                    password=password,
                    name=wanted.name,
                    client_address=visit.client_address,
                )
                await _begin(visit, wanted.email, password)
            except ShopError as error:
                if error.status >= 500:
                    raise
                errors.note(error, fields=("email", "name", "password"))
            else:
                visit.tell(
                    visit.say("Welcome, %(name)s. You are logged in.") % {"name": wanted.name}
                )
                return visit.go(safe_next(visit.text("next")))
        return await _register_page(visit, visit.text("next"), errors)

    @post("/logout", access=PUBLIC, status_code=200, media_type=HTML)
    async def log_out(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        if visit.is_known:
            await _sessions(visit).log_out(visit.principal, everywhere="everywhere" in visit.form)
        visit.end_session()
        visit.tell(visit.say("You are logged out."))
        return visit.go(HOME)

    @get("/forgot", access=PUBLIC, media_type=HTML)
    async def forgot_form(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return await shop_page(visit, "shop/forgot.html", errors=FormErrors(visit), is_sent=False)

    @post("/forgot", access=PUBLIC, costly=True, status_code=200, media_type=HTML)
    async def forgot(self, request: PageRequest) -> Answer[bytes]:
        """The same answer whether the address has an account or not."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("email")
        if not errors:
            try:
                await _credentials(visit).forgot_password(
                    visit.text("email"), client_address=visit.client_address
                )
            except TooManyRequests as error:
                errors.refuse(error)
        return await shop_page(
            visit,
            "shop/forgot.html",
            status=422 if errors else 200,
            errors=errors,
            is_sent=not errors,
        )

    @post("/language", access=PUBLIC, status_code=200, media_type=HTML)
    async def speak(self, request: PageRequest) -> Answer[bytes]:
        """Keeps the language that was chosen, and stays on the page."""
        visit = visit_of(request)
        visit.speak(visit.text("language"))
        return visit.go(safe_next(visit.text("back")))


class AccountPages(Controller):
    path = PROFILE
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=SIGNED_IN, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return await _profile(visit, FormErrors(visit))

    @post("/", access=SIGNED_IN, status_code=200, media_type=HTML)
    async def edit(self, request: PageRequest) -> Answer[bytes]:
        """A new name, or a new address with the password that proves whose account it is."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("name", "email")
        given = {"email": visit.text("email"), "name": visit.text("name")}
        wanted = None if errors else errors.read(Registration, given)
        if wanted is not None:
            accounts: Accounts = visit.pages.shop.accounts
            own = await accounts.own(visit.principal)
            try:
                await accounts.edit_own(
                    visit.call("users.edit", None),
                    name=wanted.name,
                    email=wanted.email if wanted.email != own.email else None,
                    password=visit.form.get("password") or None,
                    client_address=visit.client_address,
                )
            except ShopError as error:
                if error.status >= 500:
                    raise
                errors.note(error, fields=("email", "name", "password"))
            else:
                visit.tell(visit.say("Your details are kept."))
                return visit.go(PROFILE)
        return await _profile(visit, errors, form="details")

    @post("/password", access=SIGNED_IN, status_code=200, media_type=HTML)
    async def password(self, request: PageRequest) -> Answer[bytes]:
        """Sets a new one; every other session ends."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require("current", "new_password")
        if not errors:
            try:
                await _credentials(visit).change_password(
                    visit.principal,
                    visit.form["current"],
                    visit.form["new_password"],
                    client_address=visit.client_address,
                )
            except ShopError as error:
                if error.status >= 500:
                    raise
                named = "current" if error.code == "wrong_password" else "new_password"
                errors.refuse(error, named)
            else:
                visit.tell(visit.say("Your new password holds from now on."))
                return visit.go(PROFILE)
        return await _profile(visit, errors, form="password")

    @post("/sessions", access=SIGNED_IN, status_code=200, media_type=HTML)
    async def end_session(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        await _sessions(visit).end(visit.principal, visit.text("session"))
        visit.tell(visit.say("That session is ended."))
        return visit.go(PROFILE)

    @post("/delete", access=SIGNED_IN, status_code=200, media_type=HTML)
    async def delete(self, request: PageRequest) -> Answer[bytes]:
        """Orders are kept, everything personal goes."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        try:
            await visit.pages.shop.account_removal.remove_own(
                visit.call("users.delete", None),
                password=visit.form.get("password", ""),
                client_address=visit.client_address,
            )
        except ShopError as error:
            if error.status >= 500:
                raise
            errors.refuse(error, "delete_password")
            return await _profile(visit, errors, form="delete")
        visit.end_session()
        visit.tell(visit.say("Your account is deleted."))
        return visit.go(HOME)


async def _begin(visit: Visit, email: str, password: str) -> None:
    tokens = await _sessions(visit).log_in(
        email,
        password,
        client_address=visit.client_address,
        client=visit.header(b"user-agent"),
    )
    visit.keep_session(tokens)
    await bring_cart(visit, tokens.account_id)


async def _login_page(visit: Visit, back: str, errors: FormErrors) -> Answer[bytes]:
    status = 422 if errors else 200
    return await shop_page(
        visit,
        "shop/login.html",
        status=status,
        back=safe_next(back),
        errors=errors,
        kept=brought(visit),
    )


async def _register_page(visit: Visit, back: str, errors: FormErrors) -> Answer[bytes]:
    status = 422 if errors else 200
    return await shop_page(
        visit, "shop/register.html", status=status, back=safe_next(back), errors=errors
    )


async def _profile(visit: Visit, errors: FormErrors, form: str = "") -> Answer[bytes]:
    account: Account = await visit.pages.shop.accounts.own(visit.principal)
    sessions = await _sessions(visit).list(visit.principal)
    return await shop_page(
        visit,
        "shop/account.html",
        status=422 if errors else 200,
        account=account,
        sessions=sessions[::-1],
        errors=errors,
        form=form,
    )


def _sessions(visit: Visit) -> Sessions:
    found: Sessions = visit.pages.shop.sessions
    return found


def _credentials(visit: Visit) -> Credentials:
    found: Credentials = visit.pages.shop.credentials
    return found
