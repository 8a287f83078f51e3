"""What all pages share: templates, languages, static files, cookies' keys, and how errors look."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import structlog
from jinja2 import Environment
from litestar.types import Scope

from storekeeper.domain.accounts import GUEST, Principal
from storekeeper.domain.errors import (
    Forbidden,
    NotFound,
    OutcomeUnknown,
    ShopError,
    StoreUnavailable,
    Unauthenticated,
)
from storekeeper.domain.shop_settings import InForce
from storekeeper.http.answers import Answer
from storekeeper.http.problems import Fault
from storekeeper.services.joining import Joined
from storekeeper.web import cookies
from storekeeper.web.cookies import Jar
from storekeeper.web.csrf import FormTokens
from storekeeper.web.forms import sentence
from storekeeper.web.kept import kept_of
from storekeeper.web.languages import LANGUAGES, language
from storekeeper.web.refusals import told
from storekeeper.web.static_files import StaticFiles
from storekeeper.web.templating import SpokenEnvironment
from storekeeper.web.visit import HOME, RESET, Visit, safe_next, with_query

HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"vary", b"Cookie, Accept-Language, Accept-Encoding"),
)
# Smaller ones gain nothing.
_PACKED_FROM = 1_000
_PREFIXES = (HOME, RESET, "/admin", "/static")
log = structlog.get_logger(__name__)


class Pages:
    """The pages of one shop. `shop` holds the services, as for the API."""

    def __init__(self, shop: Any, *, public_url: str) -> None:
        self.shop = shop
        self.new_id: Callable[[], str] = shop.tools.new_id
        self.form_tokens = FormTokens(shop.secrets)
        self.session_seconds = shop.settings.refresh_token_days * 86_400
        self.public_url = public_url
        self._is_secure = public_url.startswith("https://")
        # Documents that were made lately, the oldest first, by what they were made from.
        self.papers: dict[tuple[Any, ...], bytes] = {}
        # Figures of the back office that are being added up.
        self.figures: Joined[Any] = Joined()

    @cached_property
    def static_files(self) -> StaticFiles:
        return StaticFiles()

    @cached_property
    def _environments(self) -> dict[str, Environment]:
        return {code: self._environment(code) for code in LANGUAGES}

    @property
    def now(self) -> InForce:
        """The settings in force, as this process knows them."""
        found: InForce = self.shop.live_settings.now
        return found

    @property
    def shop_name(self) -> str:
        return self.now.shop_name

    def is_page(self, path: str) -> bool:
        """Whether an address is one of ours, so that people are answered and not programs."""
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in _PREFIXES)

    async def meet(self, scope: Scope) -> Principal:
        """Who comes, by the cookies; a session whose short token has run out goes on."""
        visit = Visit(self, scope, Jar(scope["headers"], is_secure=self._is_secure))
        scope["visit"] = visit  # type: ignore[typeddict-unknown-key]
        if not scope["path"].startswith("/static/"):
            await self.shop.live_settings.refresh()
            visit.principal = await self._who(visit)
        return visit.principal

    async def _who(self, visit: Visit) -> Principal:
        access = visit.jar.get(cookies.ACCESS)
        if access:
            found = await self.bearer(access)
            if found is not None:
                return found
        refresh = visit.jar.get(cookies.REFRESH)
        if refresh:
            try:
                tokens = await self.shop.sessions.resume(refresh)
            except Unauthenticated:
                visit.end_session()
                return GUEST
            visit.keep_session(tokens)
            return await self.bearer(tokens.access_token) or GUEST
        if access:
            visit.end_session()
        return GUEST

    async def bearer(self, token: str) -> Principal | None:
        """None for a token that isn't good; an API key opens no pages."""
        header = f"Bearer {token}"
        authenticator = self.shop.authenticator
        try:
            found: Principal = authenticator.remembered(header) or await authenticator.principal_of(
                header
            )
        except Unauthenticated:
            return None
        return None if found.api_key_id is not None else found

    def render(
        self, visit: Visit, template: str, status: int, values: dict[str, Any]
    ) -> Answer[bytes]:
        body = (
            self._environments[visit.language.code]
            .get_template(template)
            .render(
                visit=visit,
                shop_name=self.shop_name,
                contact_email=self.now.contact_email,
                **values,
            )
            .encode()
        )
        headers = [*_HEADERS, *visit.jar.headers()]
        if len(body) >= _PACKED_FROM and "gzip" in visit.header(b"accept-encoding"):
            body = gzip.compress(body, 5, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        return Answer(body, status_code=status, media_type=HTML, raw_headers=headers)

    def refuse(self, scope: Scope, error: Exception) -> Answer[bytes]:
        """An error as a page. Who has to log in first is led there, and back afterwards."""
        visit: Visit = scope["visit"]  # type: ignore[typeddict-item]
        if not isinstance(error, ShopError):
            log.error("request failed", exc_info=error, request_id=visit.request_id)
            error = Fault("something went wrong on our side; it was logged")
        if isinstance(error, StoreUnavailable):
            log.warning(
                "the store is unavailable", reason=error.detail, request_id=visit.request_id
            )
        if isinstance(error, Unauthenticated) or (
            isinstance(error, Forbidden) and not visit.is_known and visit.is_read
        ):
            if kept := kept_of(visit):
                return visit.page("lost.html", status=401, kept=kept, back=_way_back(visit))
            visit.tell(visit.say("Please log in first."), kind="bad")
            return visit.go(with_query(f"{HOME}/login", {"next": _way_back(visit)}))
        if isinstance(error, Forbidden) and error.members.get("scope") and not visit.is_staff:
            # Customers know nothing of scopes.
            error = Forbidden(visit.say("your account isn't allowed to do this"))
        answer = visit.page(
            "error.html",
            status=error.status,
            detail=sentence(told(error, visit.language)),
            is_missing=isinstance(error, NotFound),
            is_ours=error.status >= 500,
            is_away=error.status == 503,
            is_unknown=isinstance(error, OutcomeUnknown),
        )
        if "retry_after" in error.members or error.status == 503:
            seconds = error.members.get("retry_after", 5)
            answer._raw_headers = [*answer._raw_headers, (b"retry-after", b"%d" % seconds)]
        return answer

    def _environment(self, code: str) -> Environment:
        found = SpokenEnvironment(language(code))
        found.globals.update(
            static=self.static_files.address,
            languages=[language(one) for one in LANGUAGES],
            with_query=with_query,
        )
        return found


def _way_back(visit: Visit) -> str:
    """The page to return to: this one, or the one whose form was sent."""
    if visit.is_read:
        return safe_next(visit.address)
    referer = urlsplit(visit.header(b"referer"))
    return safe_next(f"{referer.path}?{referer.query}" if referer.query else referer.path)
