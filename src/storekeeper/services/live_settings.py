"""The settings that are changed while the shop is open, as every process has them in force."""

from __future__ import annotations

from storekeeper.config import Settings, is_address
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid, Overloaded, PreconditionFailed, StoreUnavailable
from storekeeper.domain.shop_settings import (
    SETTINGS,
    InForce,
    ShopSettings,
    ShopValues,
    in_force,
)
from storekeeper.services.base import Call, Tools, require, with_fresh_reads

SCOPE = "settings:write"


class LiveSettings:
    """`now` is what this process knows; `refresh` sees a change on this machine at once, one on
    another node as soon as the store's stamps tell of it, and costs no I/O otherwise."""

    def __init__(self, tools: Tools, settings: Settings) -> None:
        self._tools = tools
        self._store = tools.store
        self.defaults = InForce(
            version=0,
            shop_name=settings.shop_name,
            contact_email=settings.contact_email,
            invoice_seller=settings.invoice_seller,
            invoice_note=settings.invoice_note,
            reservation_seconds=settings.reservation_seconds,
            low_stock_threshold=settings.low_stock_threshold,
        )
        self.now = self.defaults
        self._stamp: int | None = None

    async def refresh(self) -> InForce:
        """What is in force; while the store is away, what was last known."""
        stamp = self._store.stamp("catalog", "settings")
        if stamp != self._stamp:
            try:
                self.now = in_force(self.defaults, await self.kept())
            except (StoreUnavailable, Overloaded):
                # Whoever needs the store is told so by what they ask it next.
                return self.now
            self._stamp = stamp
        return self.now

    async def kept(self) -> ShopSettings | None:
        """What was set, or None."""
        return await self._store.get(ShopSettings, SETTINGS)

    def with_defaults(self, kept: ShopSettings | None) -> InForce:
        return in_force(self.defaults, kept)

    async def change(self, call: Call, values: ShopValues, if_match: int | None = None) -> InForce:
        """Sets all of them anew. `if_match`: the version that was seen, 0 for none.

        Raises `Forbidden`, `Invalid`, `PreconditionFailed`.
        """
        require(call, SCOPE)
        if values.contact_email is not None and not is_address(values.contact_email):
            # Every mail names it for answers: one that can't be written would stop them all.
            raise Invalid(
                "mails can't name this address for answers; use plain letters, as in "
                "help@example.com",
                field="contact_email",
            )

        async def attempt() -> None:
            kept = await self.kept()
            version = 0 if kept is None else kept.version
            if if_match is not None and if_match != version:
                raise PreconditionFailed(
                    f"the settings are at version {version}; read them again", current=version
                )
            given = {name: getattr(values, name) for name in ShopValues.__struct_fields__}
            if kept is not None and all(getattr(kept, name) == given[name] for name in given):
                return
            after = ShopSettings(id=SETTINGS, version=version + 1, **given)
            entry = self._tools.audited(
                call.principal,
                "settings.changed",
                f"settings:{SETTINGS}",
                before=_told(in_force(self.defaults, kept)),
                after=_told(in_force(self.defaults, after)),
            )
            await self._store.commit(ChangeSet(puts=(Put(after), *entry)))

        await with_fresh_reads(attempt)
        return await self.refresh()


def _told(found: InForce) -> dict[str, object]:
    return {name: getattr(found, name) for name in InForce.__struct_fields__ if name != "version"}
