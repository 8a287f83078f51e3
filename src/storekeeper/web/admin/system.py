"""How the shop itself does: version, store, readiness, figures, who works, what went wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from litestar import Controller, Request, get
from msgspec import UNSET

from storekeeper import __version__
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.http.answers import Answer
from storekeeper.http.health import readiness_of
from storekeeper.services import background, jobs
from storekeeper.store.port import StoreFacts
from storekeeper.telemetry.recent import MOST
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.languages import mark
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of

LEASES = {
    background.LEASE: mark("Sending events, ending reservations, clearing up"),
    jobs.LEASE: mark("Importing files"),
}
PageRequest = Request[Any, Any, Any]
SYSTEM = f"{BACK_OFFICE}/system"
# By the names of `telemetry.metrics.GAUGES`; one that has no words here is shown by its name.
FIGURES = {
    "storekeeper_write_queue_depth": mark("Changes that wait to be written"),
    "storekeeper_replica_lag_seconds": mark("Seconds behind the other nodes"),
    "storekeeper_outbox_lag_events": mark("Events that are not sent yet"),
    "storekeeper_outbox_lag_seconds": mark("Age of the oldest of them, in seconds"),
    "storekeeper_deliveries_failing": mark("Deliveries that will be tried again"),
    "storekeeper_dead_letters": mark("Dead letters"),
    "storekeeper_low_stock_products": mark("Products that run low"),
    "storekeeper_cache_away": mark("Shared cache away (1: yes)"),
    "storekeeper_backup_lag_seconds": mark("Age of the backup, in seconds"),
    "storekeeper_views_lag_entries": mark("Changes that wait to be shown to other programs"),
    "storekeeper_erasure_waiting_accounts": mark("Deleted accounts that the log may still name"),
}


class Figure(NamedTuple):
    """A gauge: its metric's name, what it counts (in English), and its value as it is written."""

    metric: str
    name: str
    value: str


class Holder(NamedTuple):
    """Work beside requests (its name in English), the process that does it, until when it has the
    right to, and whether that is the one that answers; no process: nobody does it now."""

    name: str
    process: str
    until: datetime | None
    is_this: bool = False


class SystemPage(Controller):
    path = SYSTEM
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="reports:read", media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        shop = visit.pages.shop
        readiness = await readiness_of(shop)
        return admin_page(
            visit,
            "admin/system.html",
            version=__version__,
            readiness=readiness,
            cache=None if readiness.cache is UNSET else readiness.cache,
            figures=await _figures(visit),
            store=await _facts(shop),
            holders=await _holders(shop),
            errors=shop.recent_errors.newest_first(),
            most_errors=MOST,
        )


async def _facts(shop: Any) -> StoreFacts | None:
    """None while the store can't be asked."""
    try:
        found: StoreFacts = await shop.store.facts()
    except StoreUnavailable:
        return None
    return found


async def _holders(shop: Any) -> list[Holder] | None:
    """Who does the work beside requests; None while the store can't be asked."""
    now = shop.tools.clock()
    found = []
    try:
        for id, name in LEASES.items():
            lease = await shop.store.lease(id)
            if lease is None or lease.until <= now:
                found.append(Holder(name, "", None))
            else:
                # The last part only tells one start of a process from the next.
                process = lease.holder.rpartition(":")[0] or lease.holder
                found.append(Holder(name, process, lease.until, lease.holder == shop.holder))
    except StoreUnavailable:
        return None
    return found


async def _figures(visit: Visit) -> list[Figure] | None:
    """None while the store can't be asked; the page says so, as it is there to tell of trouble."""
    gauges = visit.pages.shop.gauges
    try:
        found: dict[str, float] = {**gauges.of_process(), **await gauges.of_shop()}
    except StoreUnavailable:
        return None
    return [
        Figure(metric, FIGURES.get(metric, metric), visit.language.number(round(value)))
        for metric, value in found.items()
    ]
