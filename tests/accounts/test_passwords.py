"""Passwords are kept so that a stolen file helps nobody, and hashing never stops the shop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.errors import Overloaded, WeakPassword
from storekeeper.identity.passwords import Passwords, common_passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(memory_kib=64, passes=1)
    yield made
    made.close()


async def test_hashes_have_owasps_parameters():
    passwords = Passwords()
    parameters = extract_parameters(await passwords.rehash("correct horse"))
    assert parameters.type.name == "ID"
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    passwords.close()


async def test_the_right_password_matches_and_any_other_does_not(passwords):
    kept = await passwords.hash_new("correct horse battery", about=())
    assert await passwords.matches(kept, "correct horse battery")
    assert not await passwords.matches(kept, "correct horse batterY")


async def test_nobodys_password_matches_nothing_at_the_price_of_one_check(passwords):
    assert not await passwords.matches("", "correct horse battery")
    assert not await passwords.matches("", "")
    assert passwords.verifications == 2


def test_a_check_for_nobody_uses_the_parameters_of_the_others():
    parameters = extract_parameters(Passwords()._nobody)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)


async def test_what_looks_the_same_on_two_keyboards_is_the_same_password(passwords):
    kept = await passwords.hash_new("Café de l'été", about=())
    assert await passwords.matches(kept, "Cafe\u0301 de l'e\u0301te\u0301")


@pytest.mark.parametrize(
    "weak",
    [
        "short",
        "123456789",
        "x" * 1_001,
        "Password123",
        "QWERTYUIOP",
        "aaaaaaaaaaaaaaaa",
        "0123456789",
        "9876543210",
        "abcdefghijkl",
        "administrator",
        "Password123!",
        "letmein1234",
        "!monkey2024",
        "ada.lovelace@example.com",
        "ADA.LOVELACE",
        "Ada Lovelace",
    ],
)
async def test_a_password_that_is_guessed_first_is_refused_by_its_field(passwords, weak):
    with pytest.raises(WeakPassword) as refused:
        await passwords.hash_new(
            weak, field="new_password", about=("ada.lovelace@example.com", "Ada Lovelace")
        )
    assert refused.value.field == "new_password"


@pytest.mark.parametrize("good", ["monkey2024-harbour", "dragon8274619", "ridge-carbon-42"])
async def test_a_common_word_among_others_is_no_common_password(passwords, good):
    """Refused too easily, people would write passwords down."""
    assert await passwords.hash_new(good, about=())


def test_the_list_of_common_passwords_is_not_empty():
    assert len(common_passwords()) > 1_000
    assert "password123" in common_passwords()


async def test_a_hash_of_older_parameters_still_matches_and_asks_to_be_renewed(passwords):
    stronger = Passwords(memory_kib=128, passes=1)
    kept = await passwords.rehash("correct horse battery")
    assert await stronger.matches(kept, "correct horse battery")
    assert stronger.needs_rehash(kept)
    assert not passwords.needs_rehash(kept)
    stronger.close()


async def test_past_the_bound_a_log_in_is_told_to_come_back_instead_of_piling_up():
    passwords = Passwords(at_once=1, waiting=2, memory_kib=1_024, passes=2)
    outcomes = await asyncio.gather(
        *(passwords.matches("", "correct horse") for _ in range(8)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [bool] * 3 + [Overloaded] * 5
    await asyncio.sleep(0)
    assert not await passwords.matches("", "correct horse"), "there is room again"
    passwords.close()


async def test_a_caller_that_gave_up_leaves_its_place_to_the_next():
    passwords = Passwords(at_once=1, waiting=1, memory_kib=1_024, passes=2)
    first = asyncio.create_task(passwords.matches("", "one"))
    second = asyncio.create_task(passwords.matches("", "two"))
    await asyncio.sleep(0)
    second.cancel()
    await first
    await asyncio.gather(second, return_exceptions=True)
    assert not await passwords.matches("", "three")
    passwords.close()


@given(st.text(max_size=40))
async def test_any_text_at_all_is_checked_without_a_fault(text):
    passwords = Passwords(memory_kib=8, passes=1)
    assert not await passwords.matches("", text)
    assert await passwords.matches(await passwords.rehash(text), text)
    passwords.close()
