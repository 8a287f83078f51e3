"""What an operator gets wrong in an environment's file is told before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.aws.settings import EXAMPLE_ZONE, FOLDER, SIZES, load, of_an_example, read
from storekeeper.config import SettingsError

GOOD: dict[str, Any] = {
    "name": "test",
    "region": "eu-west-1",
    "domain": "shop.example.com",
    "hosted_zone": "Z0123456789ABCDEFGHIJ",
    "size": "small",
    "operators": ["ops@example.com"],
}
MAIL: dict[str, Any] = {
    "mail_from": "shop@example.com",
    "mail": {"host": "email-smtp.eu-west-1.amazonaws.com", "user": "AKIAEXAMPLE"},
}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("region", "eu-west-9", "region = 'eu-west-9' can't be used: give a region of AWS"),
        ("region", 1, "region = 1 can't be used"),
        ("domain", "https://shop.example.com", "domain = 'https://shop.example.com' can't be used"),
        ("domain", "shop", "domain = 'shop' can't be used: give the name under which customers"),
        ("domain", "Shop.Example.com", "domain = 'Shop.Example.com' can't be used"),
        ("size", "huge", "size = 'huge' can't be used: give one of small, medium, large"),
        ("hosted_zone", "example.com", "hosted_zone = 'example.com' can't be used: give the id"),
        ("operators", [], "operators = [] can't be used: give the address of somebody"),
        ("operators", ["Ops <ops@example.com>"], "operators = 'Ops <ops@example.com>' can't be"),
        ("operators", "ops@example.com", "operators = 'ops@example.com' can't be used"),
        ("on_call", ["nobody"], "on_call = 'nobody' can't be used"),
        ("cognito", True, "cognito = true can't be used: give one of off, beside, required"),
        ("cognito", "Beside", "cognito = 'Beside' can't be used: give one of off, beside, requ"),
        ("cache", "yes", "cache = 'yes' can't be used"),
        ("payments", True, "payments = true can't be used: this Storekeeper has no payment"),
        ("cors_origins", ["*"], "cors_origins = '*' can't be used: give origins such as https://"),
        (
            "cors_origins",
            ["https://a.example.com:99999"],
            "cors_origins = 'https://a.example.com:9",
        ),
        ("shop_name", "S" * 101, "shop_name = 'SSSS"),
        ("runbooks", "docs/aws.md", "runbooks = 'docs/aws.md' can't be used: give the address of"),
        ("runbooks", "https://a\nb", "runbooks = 'https://a\\nb' can't be used"),
        ("runbooks", "https://" + "h" * 293, "runbooks = 'https://hhh"),
        ("ssh_key", "a\nb", "ssh_key = 'a\\nb' can't be used: give the name of a key pair"),
        ("ssh_from", ["0.0.0.0/0"], "ssh_from = '0.0.0.0/0' can't be used"),
        ("ssh_from", ["203.0.113.7/32"], "ssh_from and ssh_key go together"),
        ("log_days", 5, "log_days = 5 can't be used"),
        ("name", "Production!", "name = 'Production!' can't be used: name the file in"),
        ("name", "staging-berlin", "name = 'staging-berlin' can't be used: name the file in"),
        ("name", "berlin-", "name = 'berlin-' can't be used: name the file in"),
        ("name", "a--b", "name = 'a--b' can't be used: name the file in"),
        ("currency", "pounds", "currency = 'pounds' can't be used"),
        ("currency", "XXQ", "currency = 'XXQ' can't be used: give a code of ISO 4217"),
        ("shop_name", "The\nShop", "shop_name = 'The\\nShop' can't be used: give a name in one"),
        ("shop_name", " ", "shop_name = ' ' can't be used: give a name in one line"),
        ("operators", ["a@example.com"] * 2, "operators = 'a@example.com' can't be used: name it"),
        ("on_call", ["a@example.com"] * 2, "on_call = 'a@example.com' can't be used: name it once"),
        (
            "zones",
            ["us-east-1a", "eu-west-1b"],
            "zones = 'us-east-1a' can't be used: give zones of",
        ),
        ("zones", ["eu-west-1a"], "zones = ['eu-west-1a'] can't be used: give 2 of the region"),
        ("zones", ["eu-west-1a"] * 2, "zones = 'eu-west-1a' can't be used: name it once"),
        ("mail_from", "shop@example.com", "mail_from and mail go together: name the address"),
        ("mail", MAIL["mail"], "mail_from and mail go together: name the address"),
        ("mail", {"port": 0}, "mail = {'port': 0} can't be used"),
        ("mail", {"password": "s"}, "mail = {'password': 's'} can't be used"),
        ("colour", "red", "there is no key 'colour' in an environment's file"),
    ],
)
def test_a_wrong_key_is_named_in_one_sentence(key: str, value: object, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({**GOOD, key: value})
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("mail", "told"),
    [
        ({"user": "u"}, "mail.host = '' can't be used: give the server's name, such as email-smtp"),
        ({"host": "smtp.eu"}, "mail.user = '' can't be used: give the user's name"),
        ({"host": "smtp.eu", "user": "a b"}, "mail.user = 'a b' can't be used"),
        (
            {"host": "smtp.example.org", "user": "u"},
            "mail.host = 'smtp.example.org' can't be used: without outbound = true machines reach",
        ),
        (
            {"host": "email-smtp.us-east-1.amazonaws.com", "user": "u"},
            "mail.host = 'email-smtp.us-east-1.amazonaws.com' can't be used: without outbound",
        ),
    ],
)
def test_a_mail_server_that_machines_cannot_use_is_refused(mail: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({**GOOD, **MAIL, "mail": mail})
    assert str(refused.value).startswith(told)


def test_ses_is_reached_without_the_internet_and_others_with_it() -> None:
    assert read({**GOOD, **MAIL}).mails_by_ses
    elsewhere = {"host": "smtp.example.org", "user": "u"}
    assert not read({**GOOD, **MAIL, "mail": elsewhere, "outbound": True}).mails_by_ses


@pytest.mark.parametrize("key", ["region", "domain", "hosted_zone", "size", "operators"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key} is missing"):
        read({name: value for name, value in GOOD.items() if name != key})


def test_an_environment_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match=r"no environment 'live'.*production, staging"):
        load("live")


def test_a_file_that_is_no_toml_is_told(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text("region: eu-west-1")
    with pytest.raises(SettingsError, match=r"odd.toml is not TOML"):
        load("odd", tmp_path)


def test_a_file_names_no_other_environment_than_its_own(tmp_path: Path) -> None:
    """`staging.toml` with production's name in it would bring staging to production's stacks."""
    (tmp_path / "staging.toml").write_text('name = "production"\n')
    with pytest.raises(SettingsError, match=r"^name = 'production' can't be used: the name is the"):
        load("staging", tmp_path)


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.toml")])
def test_the_environments_that_are_shipped_can_be_read(name: str) -> None:
    assert load(name).machines == SIZES[load(name).size]


def test_who_names_nobody_to_wake_is_woken_themselves() -> None:
    assert read(GOOD).woken == ("ops@example.com",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("domain", "shop.example.org"),
        ("operators", ["me@shop.test", "ops@example.com"]),
        ("on_call", ["on-call@mail.example.net"]),
        ("mail_from", "shop@example.com"),
        ("hosted_zone", EXAMPLE_ZONE),
    ],
)
def test_what_an_example_left_behind_is_named(key: str, value: Any) -> None:
    """Else alarms go to nobody, or a certificate waits for a zone that isn't there."""
    own: dict[str, Any] = {"domain": "shop.test", "operators": ["me@shop.test"]}
    own |= {"hosted_zone": "Z9876543210ABCDEFGHIJ"}
    assert of_an_example(read({**GOOD, **own})) is None
    mail = {**MAIL, "mail_from": "shop@shop.test"} if key == "mail_from" else {}
    left = of_an_example(read({**GOOD, **own, **mail, key: value}))
    assert left == (key, value[-1] if isinstance(value, list) else value)
