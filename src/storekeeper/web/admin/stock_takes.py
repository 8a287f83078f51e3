"""Stock takes as pages: start one, scan or type counts, decide on what moved, post."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.accounts import Account
from storekeeper.domain.errors import KeyReused, NotFound, ShopError
from storekeeper.domain.stocktakes import STATUSES, CountLine, LineStatus, StockTake
from storekeeper.domain.types import MAX_ON_HAND
from storekeeper.http.answers import Answer
from storekeeper.services.stock_take_posting import StockTakePosting
from storekeeper.services.stock_takes import Correction, Scan, StartRequest, StockTakes
from storekeeper.web.admin.days import MOST_CURSOR
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.admin.order_page import actor
from storekeeper.web.admin.places import places_of
from storekeeper.web.admin.stock_forms import signed_number
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
TAKES = f"{BACK_OFFICE}/stock/takes"
ON_A_PAGE = 50
TAKES_ON_A_PAGE = 20
MOST_CATEGORIES = 200


class StockTakeDesk(Controller):
    path = TAKES
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="stock:read", media_type=HTML)
    async def takes(self, request: PageRequest) -> Answer[bytes]:
        """All takes, newest first, and the form to start one."""
        visit = visit_of(request)
        return await _takes_page(visit, FormErrors(visit))

    @post("/", access="stock:write", status_code=200, media_type=HTML)
    async def start(self, request: PageRequest) -> Answer[bytes]:
        """Keeps what the location holds now, to be counted."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        values = {
            "location_id": visit.text("location_id"),
            "category": visit.text("category") or None,
        }
        wanted = errors.read(StartRequest, values)
        if wanted is not None:
            call = visit.call("stocktakes.start", wanted, visit.text("key"))
            try:
                take = await takes_of(visit).start(call, wanted)
            except ShopError as error:
                _raise_or_note(visit, error, errors, ("location_id", "category"))
            else:
                return visit.go(f"{TAKES}/{take.id}")
        return await _takes_page(visit, errors)

    @get("/{take_id:str}", access="stock:read", media_type=HTML)
    async def one(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        return await _take_page(visit_of(request), take_id)

    @post("/{take_id:str}/scan", access="stock:write", status_code=200, media_type=HTML)
    async def scan(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Counts what was scanned. With `part` the answer is the sentence about it alone."""
        visit = visit_of(request)
        errors = FormErrors(visit)
        line = await _scanned(visit, take_id, errors)
        if visit.form.get("part"):
            status = 422 if line is None else 200
            return visit.page("admin/take_scanned.html", status=status, line=line, errors=errors)
        if line is None:
            return await _take_page(visit, take_id, errors=errors)
        return visit.go(with_query(f"{TAKES}/{take_id}", {"last": line.sku}))

    @post("/{take_id:str}/counts", access="stock:write", status_code=200, media_type=HTML)
    async def counts(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Sets the counts that were typed over those that were shown."""
        visit = visit_of(request)
        corrections, wrong = _corrections(visit)
        if not wrong and corrections:
            call = visit.call(f"stocktakes.counts:{take_id}", corrections, visit.text("key"))
            errors = FormErrors(visit)
            try:
                others = await takes_of(visit).correct(call, take_id, corrections)
            except ShopError as error:
                _raise_or_note(visit, error, errors, ())
                return await _take_page(visit, take_id, errors=errors)
            for sku, line in others.items():
                wrong[sku] = (
                    visit.say("Somebody took the count back meanwhile.")
                    if line.counted is None
                    else visit.say("Somebody counted %(count)s meanwhile.")
                    % {"count": visit.language.number(line.counted)}
                )
        if wrong:
            return await _take_page(visit, take_id, wrong=wrong)
        visit.tell(visit.say("The counts are kept."))
        return visit.go(_back(visit, take_id))

    @post("/{take_id:str}/rest", access="stock:write", status_code=200, media_type=HTML)
    async def rest(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Counts none of everything that nobody counted."""
        visit = visit_of(request)
        try:
            number = await takes_of(visit).count_rest_as_none(visit.call("", None), take_id)
        except ShopError as error:
            return await _refused(visit, take_id, error)
        said = visit.language.texts.ngettext(
            "%(count)s product is counted as none.",
            "%(count)s products are counted as none.",
            number,
        )
        visit.tell(said % {"count": visit.language.number(number)})
        return visit.go(with_query(f"{TAKES}/{take_id}", {"status": "different"}))

    @post("/{take_id:str}/again", access="stock:write", status_code=200, media_type=HTML)
    async def again(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Holds a line that moved against the stock of now; `keep` keeps its count."""
        visit = visit_of(request)
        keep = "keep" in visit.form
        sku = visit.form.get("keep" if keep else "anew", "")[:64]
        try:
            line = await takes_of(visit).look_again(
                visit.call("", None), take_id, sku, keep_count=keep
            )
        except ShopError as error:
            return await _refused(visit, take_id, error)
        said = (
            visit.say("%(sku)s will be posted against %(seen)s units.")
            if keep
            else visit.say("%(sku)s has to be counted again; %(seen)s units are expected.")
        )
        visit.tell(said % {"sku": line.sku, "seen": visit.language.number(line.seen)})
        return visit.go(_back(visit, take_id))

    @post("/{take_id:str}/post", access="stock:write", status_code=200, media_type=HTML)
    async def book(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Books the counts; what moved meanwhile is told line by line."""
        visit = visit_of(request)
        posting: StockTakePosting = visit.pages.shop.stock_take_posting
        try:
            posted = await posting.post(visit.call("", None), take_id)
        except ShopError as error:
            return await _refused(visit, take_id, error)
        if posted.told:
            said = visit.language.texts.ngettext(
                "%(count)s product could not be booked. Decide on it below, then post again.",
                "%(count)s products could not be booked. Decide on them below, then post again.",
                posted.told,
            )
            visit.tell(said % {"count": visit.language.number(posted.told)}, kind="bad")
            return visit.go(with_query(f"{TAKES}/{take_id}", {"status": "told"}))
        visit.tell(visit.say("The stock take is posted."))
        return visit.go(f"{TAKES}/{take_id}")

    @post("/{take_id:str}/prepare", access="stock:write", status_code=200, media_type=HTML)
    async def prepare(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Goes on with a start that was cut off."""
        visit = visit_of(request)
        try:
            await takes_of(visit).prepare(visit.call("", None), take_id)
        except ShopError as error:
            return await _refused(visit, take_id, error)
        return visit.go(f"{TAKES}/{take_id}")

    @post("/{take_id:str}/abandon", access="stock:write", status_code=200, media_type=HTML)
    async def abandon(self, request: PageRequest, take_id: IdPath) -> Answer[bytes]:
        """Ends it without booking the rest."""
        visit = visit_of(request)
        try:
            await takes_of(visit).abandon(visit.call("", None), take_id)
        except ShopError as error:
            return await _refused(visit, take_id, error)
        visit.tell(visit.say("The stock take is abandoned; nothing more of it is booked."))
        return visit.go(f"{TAKES}/{take_id}")


def takes_of(visit: Visit) -> StockTakes:
    found: StockTakes = visit.pages.shop.stock_takes
    return found


async def _takes_page(visit: Visit, errors: FormErrors) -> Answer[bytes]:
    cursor = visit.query.get("cursor", "")[:MOST_CURSOR] or None
    page = await takes_of(visit).takes(visit.call("", None), limit=TAKES_ON_A_PAGE, cursor=cursor)
    categories = await visit.pages.shop.catalog.categories(limit=MOST_CATEGORIES)
    return admin_page(
        visit,
        "admin/takes.html",
        status=422 if errors else 200,
        page=page,
        categories=categories.items,
        errors=errors,
        **await places_of(visit),
        **await _people(visit, page.items),
    )


async def _take_page(
    visit: Visit,
    take_id: str,
    *,
    errors: FormErrors | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Answer[bytes]:
    """A take with a page of its lines. `wrong`: what is in the way of typed counts, by SKU."""
    call = visit.call("", None)
    take = await takes_of(visit).take(call, take_id)
    status = _status(visit)
    lines = await takes_of(visit).lines(
        call,
        take_id,
        status=status,
        limit=ON_A_PAGE,
        cursor=_asked(visit, "cursor")[:MOST_CURSOR] or None,
    )
    is_bad = bool(errors or wrong)
    return admin_page(
        visit,
        "admin/take.html",
        status=422 if is_bad else 200,
        take=take,
        tally=await takes_of(visit).tally(call, take_id),
        lines=lines,
        shown=status or "",
        statuses=STATUSES,
        last=await _last(visit, take),
        errors=errors or FormErrors(visit),
        wrong=wrong or {},
        typed=visit.form if is_bad else {},
        can_count=take.state == "open" and visit.principal.may("stock:write"),
        may_write=visit.principal.may("stock:write"),
        **await places_of(visit),
        **await _people(visit, [take]),
    )


async def _scanned(visit: Visit, take_id: str, errors: FormErrors) -> CountLine | None:
    errors.require("code")
    units = signed_number(visit.text("units") or "1")
    if units is None:
        errors.add("units", visit.say("Type a whole number."))
    if errors:
        return None
    scan = errors.read(Scan, {"code": visit.text("code"), "units": units})
    if scan is None:
        return None
    call = visit.call(f"stocktakes.scan:{take_id}", scan, visit.text("key"))
    try:
        return await takes_of(visit).scan(call, take_id, scan)
    except NotFound as error:
        if error.field != "code":
            raise
        errors.note(error, fields=("code",))
    except ShopError as error:
        _raise_or_note(visit, error, errors, ("code", "units"))
    return None


def _corrections(visit: Visit) -> tuple[dict[str, Correction], dict[str, str]]:
    """What was typed over what was shown, by SKU; and what is no number."""
    found: dict[str, Correction] = {}
    wrong: dict[str, str] = {}
    for name, text in visit.form.items():
        if not name.startswith("count:"):
            continue
        sku = name.removeprefix("count:")
        before = visit.form.get(f"was:{sku}", "")
        after = text.strip()
        if after == before:
            continue
        was, counted = signed_number(before), signed_number(after)
        is_good = (before == "" or was is not None) and (after == "" or counted is not None)
        if not is_good or not 0 <= (counted or 0) <= MAX_ON_HAND:
            wrong[sku] = visit.say("Type a whole number, or nothing.")
        else:
            found[sku] = Correction(was=was, counted=counted)
    return found, wrong


async def _last(visit: Visit, take: StockTake) -> CountLine | None:
    """The line that was scanned just before, where the address names one."""
    sku = visit.query.get("last", "")[:64]
    if not sku:
        return None
    try:
        return await takes_of(visit).line(visit.call("", None), take.id, sku)
    except NotFound:
        return None


async def _people(visit: Visit, takes: Any) -> dict[str, Any]:
    """Who started the takes, with one question."""
    ids = sorted({take.by.partition(":")[2] for take in takes} - {""})
    people: dict[str, Account] = await visit.pages.shop.store.get_many(Account, ids)
    return {"people": people, "actor": actor}


async def _refused(visit: Visit, take_id: str, error: ShopError) -> Answer[bytes]:
    errors = FormErrors(visit)
    _raise_or_note(visit, error, errors, ())
    return await _take_page(visit, take_id, errors=errors)


def _raise_or_note(
    visit: Visit, error: ShopError, errors: FormErrors, fields: tuple[str, ...]
) -> None:
    if error.status >= 500 or error.status == 404:
        raise error
    if isinstance(error, KeyReused):
        errors.add("", visit.say("This form was sent before; look at the page and send it again."))
    else:
        errors.note(error, fields=fields)


def _asked(visit: Visit, name: str) -> str:
    """A value of the page's address, which its forms send along."""
    return visit.query.get(name) or visit.form.get(f"at_{name}", "")


def _status(visit: Visit) -> LineStatus | None:
    asked = _asked(visit, "status")
    return next((one for one in STATUSES if one == asked), None)


def _back(visit: Visit, take_id: str) -> str:
    """The part of the list that the form was on."""
    return with_query(
        f"{TAKES}/{take_id}",
        {"status": _status(visit), "cursor": visit.form.get("at_cursor", "")[:MOST_CURSOR]},
    )
