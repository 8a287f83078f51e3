"""What staff do with an order: confirm, cancel, ship, mark as delivered, take back."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from litestar import Controller, Request, post
from litestar.params import PathParameter

from storekeeper.domain.errors import KeyReused, PreconditionFailed, ShopError
from storekeeper.domain.orders import Order
from storekeeper.domain.types import OrderId
from storekeeper.http.answers import Answer
from storekeeper.http.orders import CancelRequest, DeliverRequest, ReturnRequest, ShipRequest
from storekeeper.services.base import Call
from storekeeper.web.admin.order_page import order_page
from storekeeper.web.admin.orders import ORDERS, changes_of
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.pages import HTML
from storekeeper.web.shop.cart import whole_number
from storekeeper.web.visit import Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
Act = Callable[[Call, int], Awaitable[Order]]
_LINE = re.compile(r"lines\[(?P<number>\d+)\]")


class OrderActions(Controller):
    path = ORDERS
    opt = {"is_page": True}
    include_in_schema = False

    @post("/{order_id:str}/confirm", access="orders:write", status_code=200, media_type=HTML)
    async def confirm(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Takes the reserved stock."""
        form = ActionForm(visit_of(request), "confirm", order_id, {})
        return await form.send(
            None,
            lambda call, version: form.changes.confirm(call, form.order_id, version),
            form.visit.say("The order is confirmed."),
        )

    @post("/{order_id:str}/cancel", access="orders:write", status_code=200, media_type=HTML)
    async def cancel(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Puts the stock back that hasn't left."""
        visit = visit_of(request)
        form = ActionForm(visit, "cancel", order_id, {"reason": "cancel_reason"})
        data = form.read(CancelRequest, {"reason": visit.text("cancel_reason")})
        reason = data.reason if data is not None else ""
        return await form.send(
            data,
            lambda call, version: form.changes.cancel(call, form.order_id, reason, version),
            visit.say("The order is cancelled, and its stock is back."),
        )

    @post("/{order_id:str}/ship", access="orders:write", status_code=200, media_type=HTML)
    async def ship(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Sends the units that were typed, or with `all` everything that is left."""
        visit = visit_of(request)
        names = {"location_id": "ship_location", "lines": "ship_location"}
        form = ActionForm(visit, "ship", order_id, names)
        values: dict[str, Any] = {
            "location_id": visit.text("ship_location") or None,
            "carrier": visit.text("carrier"),
            "tracking_number": visit.text("tracking_number"),
        }
        if "all" not in visit.form:
            values["lines"] = form.quantities("ship")
        data = form.read(ShipRequest, values)
        sent = data or ShipRequest()
        return await form.send(
            data,
            lambda call, version: form.changes.ship(
                call,
                form.order_id,
                lines=sent.lines,
                location_id=sent.location_id,
                carrier=sent.carrier,
                tracking_number=sent.tracking_number,
                if_match=version,
            ),
            visit.say("The units are on their way."),
        )

    @post("/{order_id:str}/deliver", access="orders:write", status_code=200, media_type=HTML)
    async def deliver(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Marks one shipment as delivered, or without `shipment` all of them."""
        visit = visit_of(request)
        form = ActionForm(visit, "deliver", order_id, {})
        shipment = visit.text("shipment")[:64] or None
        return await form.send(
            DeliverRequest(shipment_id=shipment),
            lambda call, version: form.changes.deliver(call, form.order_id, shipment, version),
            visit.say("Marked as delivered."),
        )

    @post("/{order_id:str}/return", access="orders:write", status_code=200, media_type=HTML)
    async def take_back(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Takes units back, on hand again or scrapped."""
        visit = visit_of(request)
        names = {"location_id": "return_location", "reason": "return_reason"}
        form = ActionForm(visit, "return", order_id, names)
        data = form.read(
            ReturnRequest,
            {
                "lines": form.quantities("return"),
                "location_id": visit.text("return_location"),
                "restock": visit.text("restock") != "no",
                "reason": visit.text("return_reason"),
            },
        )
        back = data or ReturnRequest()
        return await form.send(
            data,
            lambda call, version: form.changes.take_back(
                call,
                form.order_id,
                lines=back.lines,
                location_id=back.location_id,
                restock=back.restock,
                reason=back.reason,
                if_match=version,
            ),
            visit.say("The units are back.")
            if back.restock
            else visit.say("The units are booked as scrapped."),
        )


class ActionForm:
    """One form of an order's page. `names`: the field of the form for a field of the request."""

    def __init__(self, visit: Visit, action: str, order_id: str, names: Mapping[str, str]) -> None:
        self.visit = visit
        self.action = action
        self.order_id = OrderId(order_id)
        self.errors = FormErrors(visit)
        self.changes = changes_of(visit)
        self._names = names
        self._prefix = ""
        self._lines: list[int] = []

    def quantities(self, prefix: str) -> Sequence[Mapping[str, int]]:
        """The units that were typed beside the lines; what is no number is noted there."""
        self._prefix = prefix
        found = []
        for name, text in self.visit.form.items():
            line = name.removeprefix(f"{prefix}-")
            if line == name or not line.isascii() or not line.isdigit() or len(line) > 9:
                continue
            units = whole_number(text.strip() or "0")
            if units is None:
                self.errors.add(name, self.visit.say("Type a whole number."))
            elif units:
                self._lines.append(int(line))
                found.append({"line_id": int(line), "quantity": units})
        if not found and not self.errors:
            self.errors.add("", self.visit.say("Type how many units of at least one line."))
        return found

    def read(self, kind: type[Any], values: Mapping[str, Any]) -> Any:
        """The request; None, with what is wrong noted, where the form makes none."""
        if self.errors:
            return None
        own = FormErrors(self.visit)
        found = own.read(kind, values)
        for field in ("", *own.fields):
            if own.get(field):
                self.errors.add(self._names.get(field, field), own.get(field))
        return found

    async def send(self, data: Any, act: Act, said: str) -> Answer[bytes]:
        """Does it and goes back to the order, or shows the order with what is in the way."""
        version = whole_number(self.visit.text("version"))
        if version is None and not self.errors:
            self.errors.add("", self.visit.say("Please look at the order and send this again."))
        if not self.errors and version is not None:
            key = self.visit.text("key")
            call = self.visit.call(f"orders.{self.action}:{self.order_id}", data, key)
            try:
                await act(call, version)
            except ShopError as error:
                if error.status >= 500 or error.status == 404:
                    raise
                self._note(error)
            else:
                self.visit.tell(said)
                page = {"lines": self.visit.text("lines")[:6]}
                return self.visit.go(with_query(f"{ORDERS}/{self.order_id}", page))
        order = await self.changes.order(self.visit.principal, self.order_id)
        return await order_page(
            self.visit, order, opened=self.action, errors=self.errors, status=422
        )

    def _note(self, error: ShopError) -> None:
        if isinstance(error, PreconditionFailed):
            self.errors.add(
                "",
                self.visit.say(
                    "Somebody changed this order meanwhile, and nothing was done. It is shown as "
                    "it stands now: look at it, then send the form again."
                ),
            )
            return
        if isinstance(error, KeyReused):
            self.errors.add(
                "",
                self.visit.say(
                    "This form was sent before. The order is shown as it stands now: look at it, "
                    "then send the form again."
                ),
            )
            return
        field = error.field or ""
        line = _LINE.match(field)
        if line is not None and int(line["number"]) < len(self._lines):
            field = f"{self._prefix}-{self._lines[int(line['number'])]}"
        else:
            field = self._names.get(field, "")
        self.errors.add(field, exactly(self.visit, error))
