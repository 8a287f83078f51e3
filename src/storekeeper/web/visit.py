"""One request for a page: who makes it, in which language, with which form, and its answer."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Request
from litestar.types import Scope

from storekeeper.domain.accounts import GUEST, Principal
from storekeeper.domain.errors import Unauthenticated
from storekeeper.http.answers import Answer
from storekeeper.services.base import Call, fingerprint
from storekeeper.services.sessions import Tokens
from storekeeper.web import cookies
from storekeeper.web.cookies import Jar
from storekeeper.web.languages import LANGUAGES, Language, choose

if TYPE_CHECKING:
    from storekeeper.web.pages import Pages
    from storekeeper.web.uploads import Upload

PageRequest = Request[Any, Any, Any]
HOME = "/shop"
# Where mails about forgotten passwords lead.
RESET = "/reset"
_TOLD_S = 60
_LANGUAGE_S = 365 * 86_400
# As long as somebody may leave a page with a form open.
_VISITOR_S = 30 * 86_400
# Pages that lead on to another one.
_DOORS = (f"{HOME}/login", f"{HOME}/register", f"{HOME}/forgot", RESET)


class Visit:
    """Made by the gate for every request under the pages' addresses; kept in the scope."""

    def __init__(self, pages: Pages, scope: Scope, jar: Jar) -> None:
        self.pages = pages
        self.jar = jar
        self.principal: Principal = GUEST
        self.form: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        # Whether the form is one of our own pages', and not another site's.
        self.is_ours = False
        # What a form brought to a handler that takes a file.
        self.upload: Upload | None = None
        self.path = scope["path"]
        self.is_read = scope["method"] in ("GET", "HEAD")  # type: ignore[typeddict-item]
        self._scope = scope

    @property
    def request_id(self) -> str:
        return str(self._scope.get("request_id", ""))

    @property
    def client_address(self) -> str:
        return str(self._scope.get("client_address", "unknown"))

    @cached_property
    def headers(self) -> Mapping[bytes, bytes]:
        return dict(self._scope["headers"])

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    @cached_property
    def query(self) -> dict[str, str]:
        """Of a name that stands there twice, the last."""
        return dict(parse_qsl(self._scope["query_string"].decode("latin-1")))

    @property
    def address(self) -> str:
        """Where this page is, to come back to."""
        text = self._scope["query_string"].decode("latin-1")
        return f"{self.path}?{text}" if text else self.path

    @property
    def here(self) -> str:
        """Where to come back to after logging in; empty where nothing is known."""
        if self.path in _DOORS:
            return safe_next(self.query.get("next", "") or self.text("next"), "")
        return safe_next(self.address, "") if self.is_read else ""

    @cached_property
    def language(self) -> Language:
        return choose(self.jar.get(cookies.LANGUAGE), self.header(b"accept-language"))

    def speak(self, code: str) -> None:
        """From now on in this language; nothing for one that there isn't."""
        if code in LANGUAGES:
            self.jar.keep(cookies.LANGUAGE, code, _LANGUAGE_S)

    def say(self, text: str) -> str:
        """A sentence of ours in the visitor's language."""
        return self.language.texts.gettext(text)

    # -- who it is

    @property
    def is_known(self) -> bool:
        return self.principal.account_id is not None

    @property
    def is_staff(self) -> bool:
        return self.principal.may("orders:read")

    def keep_session(self, tokens: Tokens) -> None:
        """Until the session would end by itself, so that it outlives the browser."""
        lifetime = self.pages.session_seconds
        self.jar.keep(cookies.ACCESS, tokens.access_token, lifetime)
        if tokens.refresh_token:
            self.jar.keep(cookies.REFRESH, tokens.refresh_token, lifetime)

    def end_session(self) -> None:
        self.jar.drop(cookies.ACCESS)
        self.jar.drop(cookies.REFRESH)
        self.principal = GUEST

    # -- forms

    def csrf(self) -> str:
        """The hidden field of a form on this page."""
        visitor = self.jar.get(cookies.VISITOR) or secrets.token_hex(16)
        self.jar.keep(cookies.VISITOR, visitor, _VISITOR_S)
        return self.pages.form_tokens.new(visitor)

    def new_key(self) -> str:
        """Names what a form would do, so that a double click does it once."""
        return self.pages.new_id()

    def call(self, operation: str, data: Any, key: str = "") -> Call:
        """Who does it. Guests' keys are good in their own browser only: whoever sends one is shown
        what it made before."""
        if not key:
            return Call(principal=self.principal)
        if not self.is_known:
            key = f"{self.jar.get(cookies.VISITOR)}/{key}"
        return Call(
            principal=self.principal, key=key[:200], fingerprint=fingerprint(operation, data)
        )

    def text(self, name: str) -> str:
        """What was typed into a field, without the spaces around it."""
        return self.form.get(name, "").strip()

    # -- answers

    def page(self, template: str, *, status: int = 200, **values: Any) -> Answer[bytes]:
        return self.pages.render(self, template, status, values)

    def go(self, address: str) -> Answer[bytes]:
        """To another page, by GET (303)."""
        headers = [(b"location", address.encode("latin-1", "replace")), *self.jar.headers()]
        return Answer(b"", status_code=303, media_type="text/plain", raw_headers=headers)

    def tell(self, text: str, *, kind: str = "good") -> None:
        """A sentence for the top of the next page."""
        packed = base64.urlsafe_b64encode(msgspec.json.encode([kind, text])).rstrip(b"=")
        self.jar.keep(cookies.TOLD, packed.decode(), _TOLD_S)

    def told(self) -> tuple[str, str] | None:
        """The sentence that the page before left, once."""
        packed = self.jar.get(cookies.TOLD)
        if not packed:
            return None
        self.jar.drop(cookies.TOLD)
        try:
            kind, text = msgspec.json.decode(unpacked(packed), type=tuple[str, str])
        except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return kind if kind in ("good", "bad") else "good", text[:500]


def visit_of(request: PageRequest) -> Visit:
    must_log_in: Unauthenticated | None = request.scope.get("must_log_in")  # type: ignore[assignment]
    if must_log_in is not None:
        raise must_log_in
    found: Visit = request.scope["visit"]  # type: ignore[typeddict-item]
    return found


def unpacked(text: str) -> bytes:
    """Raises `binascii.Error` for what isn't base64."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def safe_next(address: str, otherwise: str = HOME) -> str:
    """An address of our pages, or `otherwise`: nobody is sent anywhere else by a link of ours."""
    is_ours = address == HOME or address.startswith((f"{HOME}/", f"{HOME}?", f"{RESET}?", "/admin"))
    plain = address.isprintable() and not set(address) & set('\\"<> ')
    return (
        address
        if is_ours and plain and "//" not in address.split("?", maxsplit=1)[0]
        else otherwise
    )


def with_query(path: str, values: Mapping[str, Any]) -> str:
    """An address with those of the values that say something."""
    text = urlencode(
        {name: value for name, value in values.items() if value not in (None, "", False)}
    )
    return f"{path}?{text}" if text else path
