"""The shop's settings: what its owners change while it is open, and what the operator has set."""

from __future__ import annotations

from typing import Any, NamedTuple

from litestar import Controller, Request, get, post

from storekeeper.config import shown
from storekeeper.domain.errors import PreconditionFailed, ShopError
from storekeeper.domain.shop_settings import InForce, ShopSettings, ShopValues
from storekeeper.http.answers import Answer
from storekeeper.services.live_settings import SCOPE, LiveSettings
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
SETTINGS = f"{BACK_OFFICE}/settings"
MINUTES = "reservation_minutes"
MOST_MINUTES = 10_080
# Texts first, then numbers.
FIELDS = (
    "shop_name",
    "contact_email",
    "invoice_seller",
    "invoice_note",
    MINUTES,
    "low_stock_threshold",
)
MOST_DIGITS = 9
# What the operator's settings call them.
CHANGEABLE = frozenset({*FIELDS, "reservation_seconds"})


class Fixed(NamedTuple):
    """A setting that only the operator changes; `source` is empty for a default."""

    name: str
    value: Any
    source: str


class SettingsPage(Controller):
    path = SETTINGS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=SCOPE, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        kept = await _live(visit).kept()
        return _page(visit, kept, _texts(kept), FormErrors(visit))

    @post("/", access=SCOPE, status_code=200, media_type=HTML)
    async def change(self, request: PageRequest) -> Answer[bytes]:
        """Sets all of them. Who comes second is shown what stands now beside what they typed."""
        visit = visit_of(request)
        live, errors = _live(visit), FormErrors(visit)
        typed = {name: visit.text(name).replace("\r\n", "\n") for name in FIELDS}
        values = _read(visit, typed, errors)
        if values is None:
            return _page(visit, await live.kept(), typed, errors, version=visit.text("version"))
        try:
            await live.change(visit.call("", None), values, _version(visit))
        except PreconditionFailed:
            kept = await live.kept()
            theirs = _texts(kept)
            differing = {name: theirs[name] for name in FIELDS if theirs[name] != typed[name]}
            return _page(visit, kept, typed, errors, status=409, theirs=differing)
        except ShopError as error:
            if error.status >= 500:
                raise
            errors.note(error, fields=FIELDS)
            return _page(visit, await live.kept(), typed, errors)
        visit.tell(visit.say("The settings are saved."))
        return visit.go(SETTINGS)


def _read(visit: Visit, typed: dict[str, str], errors: FormErrors) -> ShopValues | None:
    given: dict[str, Any] = {name: typed[name] or None for name in FIELDS[:4]}
    for name in FIELDS[4:]:
        text = typed[name]
        if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS:
            given[name] = int(text)
        elif text:
            errors.add(name, visit.say("Type a whole number."))
    if not 1 <= given.get(MINUTES, 1) <= MOST_MINUTES:
        errors.add(MINUTES, visit.say("A reservation lasts from 1 to 10,080 minutes, a week."))
    return None if errors else errors.read(ShopValues, given)


def _texts(kept: ShopSettings | None) -> dict[str, str]:
    """What the form shows of what was set; empty: as the operator set it."""
    texts = dict.fromkeys(FIELDS, "")
    if kept is None:
        return texts
    texts |= {name: getattr(kept, name) or "" for name in FIELDS[:4]}
    for name in FIELDS[4:]:
        number = getattr(kept, name)
        texts[name] = "" if number is None else str(number)
    return texts


def _defaults(found: InForce) -> dict[str, str]:
    """What the operator set, as the form writes it."""
    minutes = found.reservation_seconds / 60
    threshold = found.low_stock_threshold
    return {
        "shop_name": found.shop_name,
        "contact_email": found.contact_email,
        "invoice_seller": found.invoice_seller.replace("|", ", "),
        "invoice_note": found.invoice_note.replace("|", ", "),
        MINUTES: f"{minutes:g}",
        "low_stock_threshold": "" if threshold is None else str(threshold),
    }


def _page(
    visit: Visit,
    kept: ShopSettings | None,
    texts: dict[str, str],
    errors: FormErrors,
    *,
    status: int = 200,
    theirs: dict[str, str] | None = None,
    version: str = "",
) -> Answer[bytes]:
    """`version`: the one that the form was shown with, which stays when it is shown again."""
    settings = visit.pages.shop.settings
    known = "0" if kept is None else str(kept.version)
    return admin_page(
        visit,
        "admin/settings.html",
        status=422 if errors else status,
        texts=texts,
        defaults=_defaults(_live(visit).defaults),
        theirs=theirs,
        version=version or known,
        fixed=[
            Fixed(name, value, settings.sources.get(name, ""))
            for name, value in shown(settings).items()
        ],
        changeable=CHANGEABLE,
        errors=errors,
    )


def _version(visit: Visit) -> int:
    """What the form was shown with; one that never is for what isn't ours."""
    text = visit.text("version")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else -1


def _live(visit: Visit) -> LiveSettings:
    found: LiveSettings = visit.pages.shop.live_settings
    return found
