"""One address, one account; profiles and roles change only by who may change them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storekeeper.domain import events
from storekeeper.domain.accounts import Account, Principal
from storekeeper.domain.errors import (
    AlreadyExists,
    Forbidden,
    Invalid,
    KeyReused,
    LastAdmin,
    LinkUsed,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    WeakPassword,
    WrongPassword,
)
from storekeeper.services.accounts import NewAccount
from storekeeper.services.base import BY_SYSTEM, Call
from tests.accounts.office import GOOD, HOME, Office, office_at

GUEST_CALL = Call(principal=Principal(account_id=None, role="guest"))


async def register(office: Office, email: str = "ada@example.com", call: Call = GUEST_CALL):
    return await office.accounts.register(
        call, email=email, password=GOOD, name=" Ada ", client_address=HOME
    )


async def test_registering_makes_a_customer_who_can_log_in(office):
    made = await register(office)
    assert (made.account.role, made.account.name) == ("customer", "Ada")
    assert GOOD not in repr(made.account)
    await office.log_in()
    (told,) = await office.told(events.ACCOUNT_REGISTERED)
    assert told.data == {"account_id": made.account.id, "role": "customer"}


async def test_an_address_has_one_account_whatever_its_case(office):
    await register(office)
    with pytest.raises(AlreadyExists) as refused:
        await register(office, "ADA@EXAMPLE.com")
    assert refused.value.field == "email"


async def test_ten_registrations_of_one_address_at_once_make_one_account(office, elsewhere):
    outcomes = await asyncio.gather(
        *(register(place) for place in (office, elsewhere) * 5), return_exceptions=True
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert await office.store.customer_count() == 1


async def test_a_retried_registration_answers_with_the_same_account(office):
    call = Call(principal=GUEST_CALL.principal, key="one", fingerprint="same")
    first, again = await asyncio.gather(register(office, call=call), register(office, call=call))
    later = await register(office, call=call)
    assert first.account.id == again.account.id == later.account.id
    assert later.is_replay
    with pytest.raises(KeyReused):
        await register(
            office, call=Call(principal=GUEST_CALL.principal, key="one", fingerprint="other")
        )


async def test_trying_out_which_addresses_are_customers_gets_slow(office):
    await register(office)
    for _ in range(20):
        with pytest.raises(AlreadyExists):
            await register(office)
    with pytest.raises(TooManyRequests):
        await register(office, "new@example.com")


@pytest.mark.parametrize("email", ["ada@", "a b@example.com", "ada@localhost", "x@y.invalid"])
async def test_an_address_that_no_mail_reaches_is_refused(office, email):
    with pytest.raises(Invalid) as refused:
        await register(office, email)
    assert refused.value.field == "email"


async def test_a_weak_password_makes_no_account(office):
    with pytest.raises(WeakPassword):
        await office.accounts.register(
            GUEST_CALL,
            email="ada@example.com",
            password="password123",
            name="Ada",
            client_address=HOME,
        )
    await register(office)


async def test_customers_are_made_in_bulk_and_doing_it_again_changes_nothing(office):
    people = [NewAccount(email=f"c{n}@example.com", name=f"C {n}") for n in range(50)]
    people.append(NewAccount(email="C0@Example.com", name="the same again"))
    made = await office.accounts.create_many(BY_SYSTEM, people)
    again = await office.accounts.create_many(BY_SYSTEM, people[10:])
    assert [account.id for account in again] == [account.id for account in made[10:]]
    assert made[0].id == made[50].id
    assert await office.store.customer_count() == 50
    with pytest.raises(Unauthenticated):
        await office.sessions.log_in("c0@example.com", "", client_address=HOME)


async def test_two_that_make_the_same_customers_at_once_end_with_the_same(office, elsewhere):
    people = [NewAccount(email=f"c{n}@example.com", name="C") for n in range(20)]
    one, two = await asyncio.gather(
        office.accounts.create_many(BY_SYSTEM, people),
        elsewhere.accounts.create_many(BY_SYSTEM, people[::-1]),
    )
    assert [account.id for account in one] == [account.id for account in two[::-1]]


@settings(max_examples=10)
@given(st.lists(st.sampled_from(["a@x.com", "A@x.com", "b@x.com", "B@X.com", "c@x.com"])))
async def test_every_address_has_exactly_one_account_after_any_registrations(
    tmp_path_factory, addresses
):
    """Property: as many accounts as there are different addresses, each found by its own."""
    async with office_at(tmp_path_factory.mktemp("shop") / "shop.db") as office:
        await asyncio.gather(
            *(
                office.accounts.create(BY_SYSTEM, email=email, name="N", role="customer")
                for email in addresses
            ),
            return_exceptions=True,
        )
        folded = {email.casefold() for email in addresses}
        assert await office.store.customer_count() == len(folded)
        for email in folded:
            page = await office.accounts.list(BY_SYSTEM, email=email)
            assert [account.email.casefold() for account in page.items] == [email]


class TestProfile:
    async def test_a_name_changes_without_a_password(self, office):
        await office.person()
        call = await office.call()
        edited = await office.accounts.edit_own(call, name="Countess", client_address=HOME)
        assert (edited.name, edited.version) == ("Countess", 2)
        same = await office.accounts.edit_own(call, name="Countess", client_address=HOME)
        assert same.version == 2

    async def test_an_address_moves_with_the_password_and_frees_the_old_one(self, office):
        await office.person()
        call = await office.call()
        edit = office.accounts.edit_own
        with pytest.raises(Invalid):
            await edit(call, email="new@example.com", client_address=HOME)
        with pytest.raises(WrongPassword):
            await edit(call, email="new@example.com", password="no", client_address=HOME)
        await edit(call, email="new@example.com", password=GOOD, client_address=HOME)
        await office.log_in("new")
        with pytest.raises(Unauthenticated):
            await office.log_in("ada")
        await office.person("ada")

    async def test_an_address_can_change_its_case_only(self, office):
        await office.person()
        call = await office.call()
        edited = await office.accounts.edit_own(
            call, email="Ada@example.com", password=GOOD, client_address=HOME
        )
        assert edited.email == "Ada@example.com"
        await office.log_in()

    async def test_an_address_of_somebody_else_is_not_given_away(self, office):
        await office.person("ada")
        await office.person("eve")
        call = await office.call("eve")
        with pytest.raises(AlreadyExists):
            await office.accounts.edit_own(
                call, email="ADA@example.com", password=GOOD, client_address=HOME
            )
        await office.log_in("eve")
        await office.log_in("ada")

    async def test_a_link_that_was_mailed_to_the_old_address_is_void(self, office):
        await office.person()
        await office.credentials.forgot_password("ada@example.com", client_address=HOME)
        (told,) = await office.told(events.PASSWORD_RESET_REQUESTED)
        call = await office.call()
        await office.accounts.edit_own(
            call, email="new@example.com", password=GOOD, client_address=HOME
        )
        with pytest.raises(LinkUsed):
            await office.credentials.reset_password(
                office.credentials.reset_secret(told.data["link"]), "another password"
            )

    async def test_an_edit_based_on_an_old_version_is_refused(self, office):
        await office.person()
        call = await office.call()
        await office.accounts.edit_own(call, name="One", client_address=HOME, if_match=1)
        with pytest.raises(PreconditionFailed):
            await office.accounts.edit_own(call, name="Two", client_address=HOME, if_match=1)


class TestRoles:
    async def test_an_admin_gives_roles_and_it_is_told(self, office):
        sam = await office.person("sam")
        await office.person("root", "admin")
        call = await office.call("root")
        await office.accounts.set_role(call, sam.id, "staff")
        await office.accounts.set_role(call, sam.id, "staff")
        (told,) = await office.told(events.ROLE_CHANGED)
        assert (told.data["before"], told.data["role"]) == ("customer", "staff")

    @pytest.mark.parametrize("role", ["customer", "staff"])
    async def test_nobody_else_gives_roles_or_sees_others(self, office, role):
        sam = await office.person("sam", role)
        call = await office.call("sam")
        for refused in (
            office.accounts.set_role(call, sam.id, "admin"),
            office.accounts.get(call, sam.id),
            office.accounts.list(call),
            office.accounts.create(call, email="x@example.com", name="X", role="admin"),
            office.accounts.create_many(call, []),
            office.account_removal.remove(call, sam.id),
        ):
            with pytest.raises(Forbidden):
                await refused

    async def test_the_last_admin_stays(self, office):
        root = await office.person("root", "admin")
        gone = await office.person("gone", "admin")
        await office.account_removal.remove(BY_SYSTEM, gone.id)
        for role in ("staff", "customer"):
            with pytest.raises(LastAdmin):
                await office.accounts.set_role(BY_SYSTEM, root.id, role)
        with pytest.raises(LastAdmin):
            await office.account_removal.remove(BY_SYSTEM, root.id)
        call = await office.call("root")
        with pytest.raises(LastAdmin):
            await office.account_removal.remove_own(call, password=GOOD, client_address=HOME)

    @pytest.mark.parametrize("round_", range(5))
    async def test_two_admins_who_end_each_other_at_once_leave_one(self, office, elsewhere, round_):
        """A shop without an admin can't be run by anybody any more."""
        admins = [await office.person(f"admin{number}", "admin") for number in range(4)]
        outcomes = await asyncio.gather(
            office.accounts.set_role(BY_SYSTEM, admins[0].id, "staff"),
            elsewhere.accounts.set_role(BY_SYSTEM, admins[1].id, "customer"),
            office.account_removal.remove(BY_SYSTEM, admins[2].id),
            elsewhere.account_removal.remove(BY_SYSTEM, admins[3].id),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, LastAdmin) for outcome in outcomes) == 1
        assert len(await office.store.admins()) == 1

    async def test_a_role_is_not_given_on_an_old_version_or_to_nobody(self, office):
        sam = await office.person("sam")
        with pytest.raises(PreconditionFailed):
            await office.accounts.set_role(BY_SYSTEM, sam.id, "staff", if_match=7)
        with pytest.raises(NotFound):
            await office.accounts.set_role(BY_SYSTEM, "nobody", "staff")


class TestList:
    async def test_users_come_in_pages_by_role_and_by_address(self, office):
        for number in range(7):
            await office.person(f"c{number}")
        await office.person("sam", "staff")
        gone = await office.person("gone")
        await office.account_removal.remove(BY_SYSTEM, gone.id)
        seen: list[Account] = []
        cursor = None
        while True:
            page = await office.accounts.list(BY_SYSTEM, role="customer", limit=3, cursor=cursor)
            assert len(page.items) <= 3
            seen.extend(page.items)
            cursor = page.next
            if cursor is None:
                break
        assert [account.name for account in seen] == [f"C{number}" for number in range(7)]
        assert len((await office.accounts.list(BY_SYSTEM)).items) == 8
        (found,) = (await office.accounts.list(BY_SYSTEM, email="SAM@example.com")).items
        assert found.role == "staff"
        for missing in ("gone@example.com", "nobody@example.com"):
            assert not (await office.accounts.list(BY_SYSTEM, email=missing)).items
        fits = await office.accounts.list(BY_SYSTEM, email="sam@example.com", role="admin")
        assert not fits.items
