"""What every page of the back office shows around its content."""

from __future__ import annotations

from typing import Any, NamedTuple

from storekeeper.http.answers import Answer
from storekeeper.web.languages import mark
from storekeeper.web.visit import Visit

BACK_OFFICE = "/admin"


class Section(NamedTuple):
    """An entry of the menu: its name in English, its address, the scope that it needs, and other
    addresses that belong to it."""

    name: str
    address: str
    scope: str
    more: tuple[str, ...] = ()

    def has(self, path: str) -> int:
        """How much of the path's beginning is the section's; 0 for a path that isn't."""
        found = [one for one in (self.address, *self.more) if f"{path}/".startswith(f"{one}/")]
        return max(map(len, found), default=0)


SECTIONS = (
    Section(mark("Today"), BACK_OFFICE, "orders:read"),
    Section(mark("Orders"), f"{BACK_OFFICE}/orders", "orders:read"),
    Section(mark("Products"), f"{BACK_OFFICE}/products", "products:read"),
    Section(mark("Stock"), f"{BACK_OFFICE}/stock", "stock:read"),
    Section(mark("People"), f"{BACK_OFFICE}/people", "users:read"),
    Section(mark("Notifications"), f"{BACK_OFFICE}/notifications", "webhooks:write"),
    Section(
        mark("System"),
        f"{BACK_OFFICE}/system",
        "reports:read",
        (f"{BACK_OFFICE}/settings", f"{BACK_OFFICE}/audit"),
    ),
)


def admin_page(visit: Visit, template: str, *, status: int = 200, **values: Any) -> Answer[bytes]:
    """A page with the menu of what the visitor may see; the section that it is in is marked."""
    shown = [section for section in SECTIONS if visit.principal.may(section.scope)]
    inside = [one for one in shown if one.has(visit.path)]
    here = max(inside, key=lambda one: one.has(visit.path), default=None)
    return visit.page(template, status=status, sections=shown, here=here, **values)
