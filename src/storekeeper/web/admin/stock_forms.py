"""The forms that change a product's stock: receive, adjust, count, transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storekeeper.domain.errors import InsufficientStock, KeyReused, NotFound, ShopError
from storekeeper.services.inventory import (
    AdjustRequest,
    CountRequest,
    Inventory,
    ReceiveRequest,
    TransferRequest,
)
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.visit import Visit

KINDS: Mapping[str, type[Any]] = {
    "receive": ReceiveRequest,
    "adjust": AdjustRequest,
    "count": CountRequest,
    "transfer": TransferRequest,
}
_NUMBERS = ("quantity", "on_hand")
_LONGEST_NUMBER = 14


class StockForm:
    """One of the forms of a product's page; its fields are named `ACTION-FIELD`. Raises `NotFound`
    for an action that there is not."""

    def __init__(self, visit: Visit, action: str, product_id: str) -> None:
        if action not in KINDS:
            raise NotFound("there is no such page")
        self.action = action
        self.errors = FormErrors(visit)
        self._visit = visit
        self._kind = KINDS[action]
        self._product_id = product_id

    async def send(self, inventory: Inventory) -> bool:
        """Does it and leaves a sentence for the next page; False, with what is in the way noted."""
        request = self._request()
        if request is None:
            return False
        visit = self._visit
        call = visit.call(f"stock.{self.action}", request, visit.text("key"))
        try:
            await getattr(inventory, self.action)(call, request)
        except ShopError as error:
            if error.status >= 500 or error.status == 404:
                raise
            self._note(error)
            return False
        visit.tell(
            {
                "receive": visit.say("The units are on hand."),
                "adjust": visit.say("The stock is adjusted."),
                "count": visit.say("The count is booked."),
                "transfer": visit.say("The units have moved."),
            }[self.action]
        )
        return True

    def _request(self) -> Any:
        values: dict[str, Any] = {"product_id": self._product_id}
        for field in self._kind.__struct_fields__:
            text = self._visit.text(f"{self.action}-{field}")
            if field in _NUMBERS:
                number = signed_number(text)
                if number is None:
                    self._add(field, self._visit.say("Type a whole number."))
                values[field] = number
            elif text and field not in ("product_id", "sku"):
                values[field] = text
        if self.errors:
            return None
        own = FormErrors(self._visit)
        found = own.read(self._kind, values)
        for field in ("", *own.fields):
            if own.get(field):
                self._add(field, own.get(field))
        return found

    def _note(self, error: ShopError) -> None:
        if isinstance(error, KeyReused):
            self._add(
                "",
                self._visit.say(
                    "This form was sent before. The stock is shown as it is now: look at it, then "
                    "send the form again."
                ),
            )
        elif isinstance(error, InsufficientStock):
            self._add(
                "on_hand" if self.action == "count" else "quantity", exactly(self._visit, error)
            )
        else:
            self._add(error.field or "", exactly(self._visit, error))

    def _add(self, field: str, text: str) -> None:
        is_shown = field in self._kind.__struct_fields__ and field not in ("product_id", "sku")
        self.errors.add(f"{self.action}-{field}" if is_shown else "", text)


def signed_number(text: str) -> int | None:
    """A whole number with or without a sign, also the sign that word processors write; None for
    anything else."""
    plain = text.replace("\N{MINUS SIGN}", "-")
    digits = plain.removeprefix("-").removeprefix("+")
    if not digits.isascii() or not digits.isdigit() or len(plain) > _LONGEST_NUMBER:
        return None
    return -int(digits) if plain.startswith("-") else int(digits)
