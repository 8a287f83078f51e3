"""Customers hear of their orders, admins of low stock, and a mail says only what it should."""

from __future__ import annotations

import email
import email.errors
import socket
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from email.policy import default
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.config import Settings
from storekeeper.domain.accounts import GUEST, Account
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Address, Order
from storekeeper.domain.shop_settings import SETTINGS, ShopSettings
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.types import AccountId
from storekeeper.notify.mail import Letter, Mail
from storekeeper.services.base import Call
from storekeeper.services.live_settings import LiveSettings
from tests.notify.sinks import a_relay, deliveries, settle
from tests.support.builders import BY_STAFF, a_call, a_request, an_event
from tests.support.clock import START
from tests.support.shop import Shop


class Mailbox:
    """What an SMTP server on this machine took; `answer` is what it says to each mail."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answer = "250 OK"
        self.refused: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name for it
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.answer.startswith("250"):
            content = cast("bytes", envelope.content)
            self.mails.append(email.message_from_bytes(content, policy=default))
            self.recipients.append(list(envelope.rcpt_tos))
        return self.answer


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


def a_channel(shop: Shop, port: int, **settings: Any) -> Mail:
    return Mail(
        store=shop.store,
        settings=Settings(
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_tls="none",
            mail_from="shop@example.com",
            shop_name="The <Tea> Shop",
            public_url="https://tea.example.com/",
            **settings,
        ),
        clock=shop.clock,
        guest_token=lambda order_id: f"token-of-{order_id}",
        reset_secret=lambda link: f"secret-of-{link}",
        timeout=5.0,
    )


def part(mail: EmailMessage, subtype: str) -> str:
    body = mail.get_body((subtype,))
    assert body is not None
    return str(body.get_content())


async def an_account(shop: Shop, id: str, role: Any = "customer", **fields: Any) -> Account:
    account = Account(
        id=AccountId(id),
        version=1,
        email=f"{id}@example.com",
        name=fields.pop("name", id.title()),
        role=role,
        created_at=START,
        updated_at=START,
        **fields,
    )
    await shop.store.commit(ChangeSet(puts=(Put(account),)))
    return account


async def an_order_of(shop: Shop, call: Any = None, **fields: Any) -> Order:
    await shop.sell(stock=10, name="Mug & <saucer>")
    placed = await shop.checkout.place(
        call or a_call(), a_request(("MUG", 2), confirm=True, **fields)
    )
    return placed.order


async def test_a_customer_gets_a_confirmation_at_the_account_s_address(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    await an_account(shop, "ada", name="Ada Lovelace")
    order = await an_order_of(shop)
    await settle(relay)
    (mail,) = box.mails
    assert box.recipients == [["ada@example.com"]]
    assert mail["To"] == "ada@example.com"
    assert mail["Subject"] == f"Your order {order.number} is confirmed"
    assert mail["Date"].datetime == START
    text, html = part(mail, "plain"), part(mail, "html")
    assert "Ada Lovelace" in text
    assert "2 x Mug & <saucer> (MUG): 19.98 GBP" in text
    assert "token" not in text
    assert "Mug &amp; &lt;saucer&gt;" in html
    assert "The &lt;Tea&gt; Shop" in html


async def test_a_guest_gets_the_link_to_follow_the_order(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    order = await an_order_of(shop, Call(principal=GUEST), email="guest@example.com")
    await settle(relay)
    (mail,) = box.mails
    assert box.recipients == [["guest@example.com"]]
    link = f"https://tea.example.com/shop/orders/{order.id}?token=token-of-{order.id}"
    assert link in part(mail, "plain")
    assert link in part(mail, "html")


async def test_shipping_cancelling_and_expiry_are_told_too(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    await an_account(shop, "ada")
    await shop.sell(stock=10)
    await shop.store.commit(ChangeSet(puts=(Put(Location(id=MAIN, version=1, name="Main")),)))
    shipped = (await shop.checkout.place(a_call(), a_request(("MUG", 1), confirm=True))).order
    await shop.order_changes.ship(
        BY_STAFF, shipped.id, lines=None, carrier="Royal Mail", tracking_number="RM1"
    )
    cancelled = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    await shop.order_changes.cancel(a_call(), cancelled.id)
    expired = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    shop.clock.advance(hours=1)
    await shop.order_changes.expire_due()
    await settle(relay)
    subjects = {str(mail["Subject"]): mail for mail in box.mails}
    assert set(subjects) == {
        f"Your order {shipped.number} is confirmed",
        f"Your order {shipped.number} is on its way",
        f"Your order {cancelled.number} is cancelled",
        f"Your order {expired.number} has run out",
    }
    text = part(subjects[f"Your order {shipped.number} is on its way"], "plain")
    assert "Carrier: Royal Mail" in text
    assert "1 \N{MULTIPLICATION SIGN} " in text
    assert "(MUG)" in text
    assert "Tracking number: RM1" in text


async def test_low_stock_goes_to_every_active_admin_in_one_mail(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    await an_account(shop, "ada", "admin")
    await an_account(shop, "bob", "admin")
    await an_account(shop, "eve", "admin", status="deleted")
    await an_account(shop, "sam", "staff")
    await shop.sell(stock=10, low_stock_threshold=5)
    await shop.checkout.place(a_call(customer="sam"), a_request(("MUG", 6), email="a@b.example"))
    await settle(relay)
    (mail,) = box.mails
    assert box.recipients == [["ada@example.com", "bob@example.com"]]
    assert "ada@example.com" not in str(mail)
    assert mail["Subject"] == "Low stock: MUG The MUG"
    assert "fell to 4 available units" in part(mail, "plain").replace("\n", " ")


async def test_a_password_link_is_made_when_the_mail_is(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    await an_account(shop, "ada")
    await tell(shop, a_reset("ada"))
    await settle(relay)
    (mail,) = box.mails
    assert "https://tea.example.com/reset?token=secret-of-nonce" in part(mail, "plain")


@pytest.mark.parametrize("gone", ["never there", "deleted"])
async def test_a_mail_to_somebody_who_is_gone_counts_as_delivered(
    shop: Shop, mailbox: tuple[Mailbox, int], gone: str
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    if gone == "deleted":
        await an_account(shop, "ada", status="deleted")
    await tell(shop, a_reset("ada"))
    await settle(relay)
    assert box.mails == []
    assert len(await deliveries(shop, "mail", "delivered")) == 1


async def test_the_same_event_has_the_same_message_id(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    await an_account(shop, "ada")
    channel, event = a_channel(shop, port), a_reset("ada")
    for _ in range(2):
        assert (await channel.deliver(event)).delivered
    assert [mail["Message-ID"] for mail in box.mails] == [f"<{event.id}@example.com>"] * 2


async def test_a_refusal_that_lasts_is_dead_at_once_and_one_that_may_pass_is_not(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    await an_account(shop, "ada")
    channel = a_channel(shop, port)

    async def outcome() -> tuple[bool, bool, int | None]:
        found = await channel.deliver(a_reset("ada"))
        return found.delivered, found.is_final, found.status_code

    box.answer = "554 no such thing"
    assert await outcome() == (False, True, 554)
    box.answer = "451 try again"
    assert await outcome() == (False, False, 451)
    box.refused["ada@example.com"] = "550 unknown"
    assert await outcome() == (False, True, 550)
    box.refused["ada@example.com"] = "450 busy"
    assert await outcome() == (False, False, 450)


async def test_a_mail_server_that_is_away_or_settings_that_are_wrong_may_pass(shop: Shop) -> None:
    await an_account(shop, "ada")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outcome = await a_channel(shop, port).deliver(a_reset("ada"))
    assert (outcome.delivered, outcome.is_final) == (False, False)


async def test_a_password_that_is_wrong_here_is_mended_and_the_mail_goes_out(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    _, port = mailbox
    await an_account(shop, "ada")
    channel = a_channel(shop, port, smtp_user="shop", smtp_password="wrong")
    outcome = await channel.deliver(a_reset("ada"))
    assert (outcome.delivered, outcome.is_final) == (False, False)


@given(
    name=st.text(min_size=1, max_size=60),
    subject_part=st.text(max_size=60),
    local=st.text(min_size=1, max_size=20),
)
def test_no_name_and_no_address_adds_a_header(name: str, subject_part: str, local: str) -> None:
    """Whatever stands in a name or an address, the mail has exactly its own headers."""
    channel = Mail(
        store=cast("Any", None),
        settings=Settings(shop_name=f"{name}\r\nBcc: evil@example.com"),
        clock=lambda: START,
        guest_token=str,
        reset_secret=str,
    )
    event = an_event("product:1", "stock.low", available=1, threshold=2)
    product = SimpleNamespace(sku="MUG", name=f"{subject_part}\r\nBcc: evil@example.com")
    letter = Letter(
        to=(f"{local}\r\nBcc: evil@example.com@example.com",),
        values={"product": product, "data": event.data},
    )
    with pytest.raises((ValueError, email.errors.MessageError)):
        channel._message(event, letter, "Shop")
    good = Letter(to=("ada@example.com",), values=letter.values)
    written = channel._message(event, good, "Shop").as_bytes()
    assert sorted(name.lower() for name in email.message_from_bytes(written)) == [
        "auto-submitted",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
    ]


async def test_the_name_on_the_parcel_greets_a_guest(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    relay = await a_relay(shop, a_channel(shop, port))
    address = Address(name="Grace Hopper", line1="1 Sea Road", city="Hull", country="GB")
    await an_order_of(
        shop, Call(principal=GUEST), email="grace@example.com", shipping_address=address
    )
    await settle(relay)
    assert "Hello Grace Hopper," in part(box.mails[0], "plain")


def a_reset(account_id: str) -> Event:
    return an_event(
        f"account:{account_id}",
        "account.password_reset_requested",
        account_id=account_id,
        link="nonce",
    )


async def tell(shop: Shop, event: Event) -> None:
    await shop.store.commit(ChangeSet(events=(event,)))


async def test_a_mail_says_what_the_shop_is_called_now_and_where_answers_go(
    shop: Shop, mailbox: tuple[Mailbox, int]
) -> None:
    """Owners change both while the shop is open."""
    box, port = mailbox
    await an_account(shop, "ada")
    kept = ShopSettings(id=SETTINGS, version=1, shop_name="Teas", contact_email="help@example.com")
    await shop.store.commit(ChangeSet(puts=(Put(kept),)))
    channel = a_channel(shop, port)
    channel._in_force = LiveSettings(shop.tools, Settings(shop_name="The Tea Shop")).refresh
    assert (await channel.deliver(a_reset("ada"))).delivered
    (mail,) = box.mails
    assert mail["Reply-To"] == "help@example.com"
    assert mail["From"] == "Teas <shop@example.com>"
