"""Mail by SMTP: to customers about their orders and passwords, to admins about low stock.

What a mail says is read when it is sent, so that it is true then, and an account deleted in
between gets none. Each mail's Message-ID is made from its event, so that a mail sent twice can be
recognised. Nothing in an address, a name or a subject can add a header.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiosmtplib
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from storekeeper.config import Settings
from storekeeper.domain import events
from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Order
from storekeeper.domain.shop_settings import InForce
from storekeeper.domain.types import Struct
from storekeeper.notify.port import DELIVERED, Outcome, failed
from storekeeper.store.port import Store

TIMEOUT_S = 20.0
# An order may have thousands of lines; a mail names so many.
LINES_SHOWN = 200
PERMANENT = 500

_TEMPLATES: dict[str, str] = {
    events.ORDER_CONFIRMED: "order_confirmed",
    events.ORDER_SHIPPED: "order_shipped",
    events.ORDER_CANCELLED: "order_cancelled",
    events.ORDER_EXPIRED: "order_expired",
    events.STOCK_LOW: "stock_low",
    events.PASSWORD_RESET_REQUESTED: "password_reset",
}
_ORDER_KINDS = frozenset(kind for kind in _TEMPLATES if kind.startswith("order."))


class Letter(Struct, frozen=True, kw_only=True):
    """Who gets a mail, and what its template shows."""

    to: tuple[str, ...]
    values: dict[str, Any]


class Mail:
    """`guest_token(order_id)` is the secret of a guest's link; `reset_secret(link)` makes the
    secret of a password's link from what the event says of it."""

    name = "mail"
    batch = 50
    parallel = 4
    keeps_record = True

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        clock: Callable[[], datetime],
        guest_token: Callable[[str], str],
        reset_secret: Callable[[str], str],
        in_force: Callable[[], Awaitable[InForce]] | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._guest_token = guest_token
        self._reset_secret = reset_secret
        self._in_force = in_force
        self._timeout = timeout
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def wants(self, event: Event) -> bool:
        return event.kind in _TEMPLATES

    async def deliver(self, event: Event) -> Outcome:
        letter = await self._letter(event)
        if letter is None or not letter.to:
            return DELIVERED  # whoever it was for is gone
        shop_name, contact = self._settings.shop_name, self._settings.contact_email
        if self._in_force is not None:
            found = await self._in_force()
            shop_name, contact = found.shop_name, found.contact_email
        try:
            message = self._message(event, letter, shop_name)
            if contact:
                message["Reply-To"] = Address(addr_spec=contact)
        except (ValueError, MessageError):
            return failed("the address can't be written into a mail", is_final=True)
        return await self._send(message, letter.to)

    async def _letter(self, event: Event) -> Letter | None:
        if event.kind in _ORDER_KINDS:
            return await self._about_order(event)
        if event.kind == events.STOCK_LOW:
            return await self._about_stock(event)
        return await self._about_password(event)

    async def _about_order(self, event: Event) -> Letter | None:
        order = await self._store.get(Order, event.data["order_id"])
        if order is None:
            return None
        name = order.shipping_address.name if order.shipping_address else ""
        address = order.email
        if order.customer_id is not None:
            account = await self._active(order.customer_id)
            if account is not None:
                address = address or account.email
                name = name or account.name
        if not address:
            return None
        return Letter(
            to=(address,),
            values={
                "order": order,
                "name": name,
                "lines": order.lines[:LINES_SHOWN],
                "more": max(0, len(order.lines) - LINES_SHOWN),
                "link": self._link(order),
                "data": event.data,
                **_parcel(order, str(event.data.get("shipment_id", ""))),
            },
        )

    async def _about_stock(self, event: Event) -> Letter | None:
        product = await self._store.get(Product, event.data["product_id"])
        if product is None:
            return None
        admins: Sequence[Account] = await self._store.admins()
        return Letter(
            to=tuple(account.email for account in admins if account.email),
            values={"product": product, "data": event.data},
        )

    async def _about_password(self, event: Event) -> Letter | None:
        account = await self._active(event.data["account_id"])
        if account is None:
            return None
        secret = self._reset_secret(event.data["link"])
        return Letter(
            to=(account.email,),
            values={"name": account.name, "link": self._url("/reset", token=secret)},
        )

    async def _active(self, account_id: str) -> Account | None:
        account = await self._store.get(Account, account_id)
        return account if account is not None and account.status == "active" else None

    def _link(self, order: Order) -> str:
        """Where the order is followed: a guest by the link's secret, a customer after logging in."""
        secret = {} if order.customer_id else {"token": self._guest_token(order.id)}
        return self._url(f"/shop/orders/{order.id}", **secret)

    def _url(self, path: str, **query: str) -> str:
        base = self._settings.public_url.rstrip("/")
        return f"{base}{path}" + (f"?{urlencode(query)}" if query else "")

    def _message(self, event: Event, letter: Letter, shop_name: str) -> EmailMessage:
        template = _TEMPLATES[event.kind]
        values = {
            **letter.values,
            "shop_name": shop_name,
            "public_url": self._settings.public_url.rstrip("/"),
        }
        text = self._templates.get_template(f"{template}.txt").render(values)
        subject, _, body = text.partition("\n")
        message = EmailMessage(policy=SMTP)
        sender = Address(display_name=_one_line(shop_name), addr_spec=self._settings.mail_from)
        message["Message-ID"] = f"<{event.id}@{sender.domain or 'localhost'}>"
        message["Date"] = format_datetime(self._clock())
        message["From"] = sender
        if len(letter.to) == 1:
            message["To"] = Address(addr_spec=letter.to[0])
        else:
            message["To"] = "undisclosed-recipients:;"
        message["Subject"] = _one_line(subject)
        # RFC 3834: out-of-office programs leave it alone.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body.lstrip("\n"))
        html = self._templates.get_template(f"{template}.html").render(
            {**values, "subject": _one_line(subject)}
        )
        message.add_alternative(html, subtype="html")
        return message

    async def _send(self, message: EmailMessage, to: Sequence[str]) -> Outcome:
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user or None,
            password=settings.smtp_password or None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            local_hostname=_domain(settings.mail_from),
            timeout=self._timeout,
        )
        try:
            async with client:
                await client.send_message(message, sender=settings.mail_from, recipients=list(to))
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            return failed(
                "the mail server refuses the address",
                status_code=codes[0],
                is_final=all(code >= PERMANENT for code in codes),
            )
        except aiosmtplib.SMTPDataError as error:
            return failed(
                "the mail server refuses the mail",
                status_code=error.code,
                is_final=error.code >= PERMANENT,
            )
        except aiosmtplib.SMTPResponseException as error:
            # Log-in, sender or greeting: wrong settings, which an admin can mend.
            return failed("the mail server refuses the shop", status_code=error.code)
        except aiosmtplib.SMTPNotSupported:
            return failed("the mail server can't take this address or TLS")
        except (aiosmtplib.SMTPException, OSError) as error:
            return failed(f"no mail server: {type(error).__name__}")
        return DELIVERED


def _parcel(order: Order, shipment_id: str) -> dict[str, Any]:
    """What one shipment holds, as (line, units); the order may have had others since."""
    lines = {line.id: line for line in order.lines}
    packed = [
        (lines[one.line_id], one.quantity)
        for shipment in order.shipments
        if shipment.id == shipment_id
        for one in shipment.lines
    ]
    return {
        "parcel": packed[:LINES_SHOWN],
        "more_lines": max(0, len(packed) - LINES_SHOWN),
        "more_follows": sum(quantity for _, quantity in packed) < order.units,
    }


def _one_line(text: str) -> str:
    """Text for a header: no line ends, no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _domain(address: str) -> str:
    domain = address.rpartition("@")[2]
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")
