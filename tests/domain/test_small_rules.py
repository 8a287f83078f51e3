"""Delays after failed log-ins, order numbers, roles, change sets and the list of errors."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain import errors
from storekeeper.domain.accounts import (
    FREE_ATTEMPTS,
    GUEST,
    LONGEST_DELAY_S,
    ROLE_SCOPES,
    SCOPES,
    SYSTEM,
    delay_after,
    normal_email,
)
from storekeeper.domain.changes import ChangeSet, Check, Put
from storekeeper.domain.countries import check_country
from storekeeper.domain.stock import is_low, require_change
from storekeeper.domain.work import Setting
from storekeeper.services.base import fingerprint
from storekeeper.services.order_numbers import new_number, normal_number
from tests.support.builders import STAFF, a_customer, moving


def test_a_few_mistyped_passwords_cost_nothing() -> None:
    assert [delay_after(failures) for failures in range(FREE_ATTEMPTS)] == [0] * FREE_ATTEMPTS


@given(failures=st.integers(FREE_ATTEMPTS, 10**9))
def test_guessing_on_gets_ever_slower_and_never_locks_out_for_good(failures: int) -> None:
    assert 1 <= delay_after(failures) <= LONGEST_DELAY_S
    assert delay_after(failures) <= delay_after(failures + 1)
    assert delay_after(failures + 1) <= 2 * delay_after(failures)


def test_the_longest_delay_is_reached() -> None:
    assert delay_after(FREE_ATTEMPTS + 10) == LONGEST_DELAY_S


def test_order_numbers_read_well_and_don_t_repeat() -> None:
    numbers = {new_number() for _ in range(5_000)}
    assert len(numbers) == 5_000
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", n) for n in numbers)


@pytest.mark.parametrize("number", ["01ABC-10XYZ", "00000-11111", "ZYXWV-98765"])
def test_a_number_is_understood_however_it_is_typed(number: str) -> None:
    dictated = number.lower().replace("0", "o").replace("1", "l").replace("-", " ")
    assert normal_number(number) == number
    assert normal_number(dictated) == number
    assert normal_number(f"  {number.replace('-', '')} ") == number
    assert normal_number(number.replace("1", "I").replace("0", "O")) == number


@given(text=st.text(max_size=30))
def test_any_text_may_be_looked_up_as_a_number(text: str) -> None:
    assert normal_number(normal_number(text)) == normal_number(text)


@pytest.mark.parametrize(
    ("one", "other"), [("Ada@Example.com", "ada@example.com"), (" a@b.c ", "a@b.c")]
)
def test_an_address_is_one_however_it_is_written(one: str, other: str) -> None:
    assert normal_email(one) == normal_email(other)


def test_roles_may_what_the_shop_says() -> None:
    assert ROLE_SCOPES["customer"] == frozenset()
    assert ROLE_SCOPES["staff"] < ROLE_SCOPES["admin"] == frozenset(SCOPES)
    assert "users:write" not in ROLE_SCOPES["staff"]
    assert STAFF.may("stock:write")
    assert not a_customer().may("orders:read")
    assert not GUEST.may("orders:read")
    assert SYSTEM.may("orders:write")


@pytest.mark.parametrize("code", ["GB", "DE", "BQ", "ZW", "XK"])
def test_countries_that_there_are(code: str) -> None:
    check_country(code, "country")


@pytest.mark.parametrize("code", ["ZZ", "UK", "XX", "AN", "gb", "GBR", ""])
def test_a_code_that_is_no_country_s_is_refused_by_its_field(code: str) -> None:
    """AN was the Netherlands Antilles' until 2010; UK is reserved, not assigned."""
    with pytest.raises(errors.Invalid) as refused:
        check_country(code, "shipping_address.country")
    assert refused.value.field == "shipping_address.country"


def test_who_did_it_is_named_without_personal_data() -> None:
    assert a_customer("42").name == "customer:42"
    assert GUEST.name == "guest"


@pytest.mark.parametrize(
    ("available", "threshold", "low"),
    [(5, 5, True), (6, 5, False), (0, 0, True), (1, 0, False), (-3, None, False), (0, None, False)],
)
def test_low_is_at_or_below_the_reorder_point(
    available: int, threshold: int | None, low: bool
) -> None:
    assert is_low(available, threshold) is low


def test_moving_nothing_is_refused() -> None:
    require_change(1)
    with pytest.raises(errors.Invalid):
        require_change(0)


def test_change_sets_add_up() -> None:
    put = ChangeSet(puts=(Put(Setting(id="a", version=1, value="")),))
    both = put + moving("x", 1) + ChangeSet(checks=(Check("Setting", "b", 1),))
    assert (len(both.puts), len(both.movements), len(both.checks)) == (1, 1, 1)
    assert put + ChangeSet() == put


def test_the_same_request_has_the_same_fingerprint_whatever_the_order_of_its_fields() -> None:
    assert fingerprint("place", {"a": 1, "b": 2}) == fingerprint("place", {"b": 2, "a": 1})
    assert fingerprint("place", {"a": 1}) != fingerprint("cancel", {"a": 1})
    assert fingerprint("place", {"a": 1}) != fingerprint("place", {"a": 2})


def test_every_error_has_a_code_of_its_own_and_says_what_it_is() -> None:
    kinds = list(errors.catalogue())
    assert len({kind.code for kind in kinds}) == len(kinds) > 20
    for kind in kinds:
        assert re.fullmatch(r"[a-z_]+", kind.code)
        assert 400 <= kind.status < 600
        assert kind.title
        assert kind("why", field="x").detail == "why"


def test_values_can_t_be_changed_in_place() -> None:
    setting = Setting(id="a", version=1, value="")
    with pytest.raises(AttributeError):
        setting.value = "b"  # type: ignore[misc]
    assert msgspec.structs.replace(setting, value="b").value == "b"
