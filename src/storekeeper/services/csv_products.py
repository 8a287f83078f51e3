"""What the rows of a products file mean: one row is one product, made or revised by its SKU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from storekeeper.domain import catalog, events
from storekeeper.domain.accounts import Principal
from storekeeper.domain.catalog import Product, ProductDetails
from storekeeper.domain.changes import (
    ChangeSet,
    Check,
    Claim,
    LevelIs,
    Put,
    Refusal,
    Release,
    Short,
    Taken,
)
from storekeeper.domain.errors import Invalid
from storekeeper.domain.events import Event
from storekeeper.domain.pictures import Picture, name_of
from storekeeper.domain.types import ProductId, Struct, fold_sku
from storekeeper.domain.work import RowError
from storekeeper.services.base import Tools
from storekeeper.services.catalog import audited_product, claims_of, moved_claims, untracking_guards
from storekeeper.services.csv_format import PRODUCT_COLUMNS, PRODUCT_FIELDS, price_of
from storekeeper.services.csv_plan import Plan
from storekeeper.services.csv_reader import Cells
from storekeeper.services.images import REMOVED
from storekeeper.services.validation import field_and_reason


class ProductRow(Struct, frozen=True, kw_only=True):
    """A row that was read; what it says is checked when it meets the shop's product.

    `parent`: the folded SKU in a `parent_sku` cell; empty for none, None without that column.
    """

    line: int
    key: str
    values: dict[str, Any]
    price: str | None
    currency: str | None
    parent: str | None


class Item(Struct, frozen=True, kw_only=True):
    """What a good row changes."""

    line: int
    product: Product
    before: Product | None
    checks: tuple[Check, ...]
    claims: tuple[Claim, ...]
    releases: tuple[Release, ...]


class ProductRows:
    """One reading of a products file. `checking`: nothing is kept, so what earlier rows of the
    file would have made has to be remembered.

    A column that the file lacks leaves a product's field as it is; an empty cell sets its default.
    """

    known = PRODUCT_COLUMNS
    required = ("sku",)
    stand_alone = False

    def __init__(
        self, tools: Tools, import_id: str, by: Principal, currency: str, *, checking: bool
    ) -> None:
        self._tools = tools
        self._import_id = import_id
        self._by = by
        self._currency = currency
        self._checking = checking
        self._first_lines: dict[str, int] = {}
        self._variant_lines: dict[str, int] = {}
        self._parents: dict[str, Product] = {}
        self._given_up: set[tuple[str, str]] = set()

    def use(self, columns: Sequence[str]) -> None:
        """Takes the file's columns; raises `Invalid` for a set of them that can't be read."""
        if "currency" in columns and "price" not in columns:
            raise Invalid("the column currency means nothing without price", field="header")
        self._fields = [
            (index, name, PRODUCT_FIELDS[name])
            for index, name in enumerate(columns)
            if name in PRODUCT_FIELDS
        ]
        self._at = {name: index for index, name in enumerate(columns)}
        self._is_partial = not set(columns).issuperset({*PRODUCT_FIELDS, "price", "parent_sku"})

    def parse(self, row: Cells) -> ProductRow:
        """The row's values; raises `Invalid` naming the column."""
        cells = row.cells
        at = self._at
        key = fold_sku(cells[at["sku"]])
        if not key:
            raise Invalid("is missing", field="sku")
        first = self._first_lines.setdefault(key, row.line)
        if first != row.line:
            raise Invalid(f"stands on line {first} already", field="sku")
        parent = cells[at["parent_sku"]] if "parent_sku" in at else None
        currency = cells[at["currency"]].strip().upper() if "currency" in at else ""
        return ProductRow(
            line=row.line,
            key=key,
            values=self._values(cells),
            price=cells[at["price"]] if "price" in at else None,
            currency=currency or None,
            parent=fold_sku(parent) if parent is not None else None,
        )

    def _values(self, cells: Sequence[str]) -> dict[str, Any]:
        if self._is_partial:
            return {name: convert(cells[index]) for index, name, convert in self._fields}
        # With all columns there, what is left out takes its default anyway.
        return {
            name: convert(cell) for index, name, convert in self._fields if (cell := cells[index])
        }

    async def plan(self, rows: Sequence[ProductRow]) -> Plan:
        """What the rows come to, as the shop is now."""
        store = self._tools.store
        keys = {row.key for row in rows} | {row.parent for row in rows if row.parent}
        existing = await store.products_by_sku(list(keys))
        plan = await asyncio.to_thread(self._draft, rows, existing)
        # Most files are of new, plain products, of which no more is to be asked.
        watched = [item for item in plan.items if item.before is not None or len(item.claims) > 1]
        await self._refuse_held_options(watched, plan)
        levels = await self._guard_untracking(watched, plan)
        plan.checks = await self._guard_pictures(plan)
        plan.may_depend = plan.may_depend or bool(plan.bad)
        await asyncio.to_thread(self._finish, plan, levels)
        return plan

    def blame(self, rows: Sequence[ProductRow], refusal: Refusal, plan: Plan) -> list[RowError]:
        """The rows because of which a commit was refused; none where reading again settles it."""
        if isinstance(refusal, Taken) and refusal.claim.scope == "variant":
            value = refusal.claim.value
            return [
                _same_options(item.line)
                for item in plan.items
                if any(claim.value == value for claim in item.claims)
            ]
        if isinstance(refusal, Short):
            short = {shortage.product_id for shortage in refusal.lines}
            reason = "more units are promised than there are, so backorder can't end yet"
            return [
                RowError(line=item.line, field="allow_backorder", reason=reason)
                for item in plan.items
                if item.product.id in short
            ]
        return []

    def _draft(self, rows: Sequence[ProductRow], existing: dict[str, Product]) -> Plan:
        plan = Plan()
        now = self._tools.clock()
        made: dict[str, Product] = {}
        written: set[str] = set()
        for row in rows:
            before = existing.get(row.key)
            try:
                parent = self._parent(row, made, existing)
                details = self._details(row, before, parent)
                refers = parent or details.is_parent or name_of(details.image_url)
                if before is None and self._checking and not refers:
                    # Nothing refers to it and nothing is kept: no product need be made of it.
                    catalog.check(details)
                    plan.created += 1
                    continue
                item = self._item(row, details, before, parent, now, guarded=row.parent in written)
            except msgspec.ValidationError as error:
                field, reason = field_and_reason(error, ProductDetails)
                plan.refuse(row.line, _column(field), reason)
                continue
            except Invalid as error:
                plan.refuse(row.line, _column(error.field), error.detail)
                continue
            if row.parent:
                plan.may_depend = True
            if item is None:
                plan.unchanged += 1
                product = before
            else:
                plan.items.append(item)
                product = item.product
                written.add(row.key)
            if product is not None and product.is_parent:
                made[row.key] = product
        if self._checking:
            self._parents.update(made)
        return plan

    def _parent(
        self, row: ProductRow, made: dict[str, Product], existing: dict[str, Product]
    ) -> Product | None:
        if not row.parent:
            return None
        parent = made.get(row.parent) or existing.get(row.parent) or self._parents.get(row.parent)
        if parent is None:
            raise Invalid(
                "there is no such product, neither in the shop nor on an earlier line",
                field="parent_sku",
            )
        if not parent.is_parent:
            raise Invalid(f"{parent.sku} isn't a parent of variants", field="parent_sku")
        return parent

    def _item(
        self,
        row: ProductRow,
        details: ProductDetails,
        before: Product | None,
        parent: Product | None,
        now: datetime,
        *,
        guarded: bool,
    ) -> Item | None:
        """The product made or revised; None where the row says what is kept already.

        `guarded`: the same change set writes the parent, which guards its version.
        """
        if before is not None and details == catalog.details_of(before):
            self._remember_variant(row, before)
            return None
        checks: tuple[Check, ...] = ()
        releases: tuple[Release, ...] = ()
        if before is None:
            product = catalog.create(details, id=ProductId(self._tools.new_id()), now=now)
            claims = claims_of(product)
        else:
            product = catalog.revise(before, details, now=now)
            claims, releases = moved_claims(before, product)
        moves = before is None or before.parent_id != product.parent_id
        if parent is not None and moves and not guarded:
            checks = (Check("Product", parent.id, parent.version),)
        self._remember_variant(row, product)
        return Item(
            line=row.line,
            product=product,
            before=before,
            checks=checks,
            claims=claims,
            releases=releases,
        )

    def _details(
        self, row: ProductRow, before: Product | None, parent: Product | None
    ) -> ProductDetails:
        values = dict(row.values)
        if before is not None and self._is_partial:
            kept: dict[str, Any] = msgspec.to_builtins(catalog.details_of(before))
            values = kept | values
        if row.price is not None:
            currency = row.currency or (before.price.currency if before else self._currency)
            values["price"] = price_of(row.price, currency)
        if row.parent is not None:
            values["parent_id"] = parent.id if parent else None
        return msgspec.convert(values, ProductDetails)

    def _remember_variant(self, row: ProductRow, product: Product) -> None:
        if product.parent_id is not None:
            variant = catalog.claims(product)["variant"]
            first = self._variant_lines.setdefault(variant, row.line)
            if first != row.line:
                raise Invalid(f"line {first} is a variant with the same options", field="options")

    async def _refuse_held_options(self, items: Sequence[Item], plan: Plan) -> None:
        """Refuses rows whose options another variant keeps."""
        wanted = {
            claim.value: item for item in items for claim in item.claims if claim.scope == "variant"
        }
        if not wanted:
            return
        plan.may_depend = True
        given_up: set[tuple[str, str]] = {
            (release.value, item.product.id) for item in items for release in item.releases
        }
        if self._checking:
            self._given_up |= given_up
            given_up = self._given_up
        held = await self._tools.store.claims("variant", list(wanted))
        for value, claim in held.items():
            if (value, claim.owner) not in given_up:
                plan.add_bad(_same_options(wanted[value].line))

    async def _guard_untracking(self, items: Sequence[Item], plan: Plan) -> tuple[LevelIs, ...]:
        """The guards of products that stop having stock; refuses those that still have some."""
        ending = {
            item.product.id: item.line
            for item in items
            if item.before and item.before.track_stock and not item.product.track_stock
        }
        if not ending:
            return ()
        guards: list[LevelIs] = []
        for id, found in (await untracking_guards(self._tools.store, list(ending))).items():
            if found is None:
                reason = "there are still units of it; count its stock to zero first"
                plan.refuse(ending[id], "track_stock", reason)
            else:
                guards.extend(found)
        return tuple(guards)

    async def _guard_pictures(self, plan: Plan) -> tuple[Check, ...]:
        """The guards of pictures that products begin to show; refuses those that were removed."""
        named: list[tuple[Item, str]] = []
        for item in plan.items:
            name = name_of(item.product.image_url)
            if name and (item.before is None or item.before.image_url != item.product.image_url):
                named.append((item, name))
        if not named:
            return ()
        found = await self._tools.store.get_many(Picture, sorted({name for _, name in named}))
        for item, name in named:
            if name in found and found[name].state != "kept":
                plan.refuse(item.line, "image_url", REMOVED)
        return tuple(Check("Picture", id, found[id].version) for id in sorted(found))

    def _finish(self, plan: Plan, levels: tuple[LevelIs, ...]) -> None:
        if plan.bad:
            plan.items = [item for item in plan.items if item.line not in plan.bad]
        items: list[Item] = plan.items
        created = sum(item.before is None for item in items)
        plan.created += created
        plan.updated += len(items) - created
        if not items or self._checking:
            return
        plan.change = ChangeSet(
            puts=(*(Put(item.product) for item in items), *self._audited(items)),
            checks=tuple(
                dict.fromkeys([*(check for item in items for check in item.checks), *plan.checks])
            ),
            claims=tuple(claim for item in items for claim in item.claims),
            releases=tuple(release for item in items for release in item.releases),
            levels=levels,
            events=(
                Event(
                    id=self._tools.new_id(),
                    kind=events.PRODUCTS_IMPORTED,
                    subject=f"import:{self._import_id}",
                    at=self._tools.clock(),
                    data={
                        "import_id": self._import_id,
                        "by": self._by.name,
                        "created": plan.created,
                        "updated": plan.updated,
                    },
                ),
            ),
        )

    def _audited(self, items: Sequence[Item]) -> Iterator[Put]:
        """What the import changed. What it made is in its summary and in the product itself."""
        for item in items:
            if item.before is not None:
                yield from audited_product(
                    self._tools,
                    self._by,
                    "product.changed",
                    item.before,
                    item.product,
                    reference=f"import:{self._import_id}",
                )


def _same_options(line: int) -> RowError:
    return RowError(
        line=line, field="options", reason="the parent has a variant with these options already"
    )


def _column(field: str | None) -> str:
    """The column that a product's field is in."""
    name = (field or "").partition(".")[0].partition("[")[0]
    return "currency" if field == "price.currency" else {"parent_id": "parent_sku"}.get(name, name)
