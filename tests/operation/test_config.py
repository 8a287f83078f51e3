"""Settings: a shop that starts with a wrong one, or shows a secret, would be found out too late."""

from __future__ import annotations

from pathlib import Path

import pytest

from storekeeper.config import Settings, SettingsError, load, shown


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('port = 1\nhost = "file"\nshop_name = "From the file"\n')
    environ = {"STOREKEEPER_PORT": "2", "STOREKEEPER_HOST": "environment"}
    settings = load({"port": 3, "host": None}, environ, file)
    assert (settings.port, settings.host, settings.shop_name, settings.workers) == (
        3,
        "environment",
        "From the file",
        1,
    )


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text("workers = 4\n")
    assert load({}, {"STOREKEEPER_CONFIG": str(file)}).workers == 4


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"STOREKEEPER_PORT": "many"}, ["port", "'many'"]),
        ({"STOREKEEPER_STORE": "dynamo"}, ["'dynamo'", "must be one of sqlite, dynamodb"]),
        ({"STOREKEEPER_PORT": "70000"}, ["port", "must be at most 65535"]),
        ({"STOREKEEPER_WORKERS": "0"}, ["workers", "must be at least 1"]),
        ({"STOREKEEPER_COLOUR": "red"}, ["STOREKEEPER_COLOUR", "no such setting"]),
        ({"STOREKEEPER_CURRENCY": "pounds"}, ["currency"]),
        ({"STOREKEEPER_SECRET_KEY": "x" * 31}, ["secret_key", "31", "at least 32"]),
        ({"STOREKEEPER_OLD_SECRET_KEYS": f"{'x' * 16},short"}, ["old_secret_keys", "number 2"]),
        ({"STOREKEEPER_CURRENCY": "XXQ"}, ["currency", "'XXQ'", "ISO 4217"]),
        ({"STOREKEEPER_TRUSTED_PROXIES": "10.0.0.0/8,proxy"}, ["trusted_proxies", "'proxy'"]),
        ({"STOREKEEPER_TRUSTED_PROXIES": "10.0.0.0/33"}, ["trusted_proxies", "'10.0.0.0/33'"]),
        ({"STOREKEEPER_CLIENT_HEADER": "X-Client-IP"}, ["client_header", "trusted_proxies isn't"]),
        ({"STOREKEEPER_CLIENT_HEADER": "X_Client"}, ["client_header", "'X_Client'", "X-Client-IP"]),
        ({"STOREKEEPER_CLIENT_HEADER": "X-Forwarded-For"}, ["client_header", "leave it out"]),
        ({"STOREKEEPER_PUBLIC_URL": "shop.example.com"}, ["public_url", "https://"]),
        ({"STOREKEEPER_PUBLIC_URL": "ftp://shop.example.com"}, ["public_url", "https://"]),
        ({"STOREKEEPER_PUBLIC_URL": "https://shop.example.com/?a=1"}, ["public_url"]),
        ({"STOREKEEPER_PUBLIC_URL": "https://u:p@shop.example.com"}, ["public_url"]),
        ({"STOREKEEPER_PUBLIC_URL": "https://shop.example.com:port"}, ["public_url"]),
        ({"STOREKEEPER_MAIL_FROM": "shop"}, ["mail_from", "'shop'"]),
        ({"STOREKEEPER_MAIL_FROM": "Shop <shop@example.com>"}, ["mail_from", "without a name"]),
        ({"STOREKEEPER_CLOUDWATCH_NAMESPACE": "AWS/Shop"}, ["cloudwatch_namespace", "AWS/"]),
        ({"STOREKEEPER_CLOUDWATCH_NAMESPACE": "my shop"}, ["cloudwatch_namespace", "'my shop'"]),
        ({"STOREKEEPER_CLOUDWATCH_SECONDS": "0"}, ["cloudwatch_seconds"]),
        ({"STOREKEEPER_CLOUDWATCH_NODE": "node 1"}, ["cloudwatch_node", "'node 1'"]),
        ({"STOREKEEPER_CLOUDWATCH_NODE": "eu-1"}, ["cloudwatch_namespace isn't"]),
        ({"STOREKEEPER_CACHE_URL": "cache.example.com:6379"}, ["cache_url", "valkey://HOST"]),
        ({"STOREKEEPER_CACHE_URL": "http://cache.example.com"}, ["cache_url", "valkey://HOST"]),
        ({"STOREKEEPER_CACHE_URL": "valkey://"}, ["cache_url"]),
        ({"STOREKEEPER_CACHE_URL": "valkey://cache:port/0"}, ["cache_url"]),
        ({"STOREKEEPER_CACHE_URL": "valkey://cache/first"}, ["cache_url"]),
        ({"STOREKEEPER_CACHE_URL": "valkey://cache/0?socket_timeout=9"}, ["cache_url"]),
        ({"STOREKEEPER_STORE": "oracle"}, ["store", "'oracle'"]),
        ({"STOREKEEPER_STORE": "dynamodb"}, ["secret_key", "dynamodb"]),
        ({"STOREKEEPER_CONFIG": "/nowhere/shop.toml"}, ["/nowhere/shop.toml", "can't be read"]),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(
    environ: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as stopped:
        load({}, environ)
    assert all(word in str(stopped.value) for word in words)


@pytest.mark.parametrize("line", ['port = "8000"', "port = true", 'notify_console = "yes"'])
def test_a_file_says_numbers_and_switches_as_such(tmp_path: Path, line: str) -> None:
    """TOML has types; a quoted number is a slip that would go unnoticed until it matters."""
    file = tmp_path / "shop.toml"
    file.write_text(line)
    with pytest.raises(SettingsError, match=line.split(maxsplit=1)[0]):
        load({}, {}, file)


@pytest.mark.parametrize(
    "environ",
    [
        {"STOREKEEPER_MAIL_FROM": "shop@localhost"},
        {"STOREKEEPER_PUBLIC_URL": "https://shop.example.com:8443/at"},
        {"STOREKEEPER_PUBLIC_URL": "http://[::1]:8000"},
        {"STOREKEEPER_TRUSTED_PROXIES": "10.1.2.3/8,::1"},
        {"STOREKEEPER_CURRENCY": "JPY"},
        {"STOREKEEPER_CACHE_URL": "valkey://127.0.0.1:6379"},
        {"STOREKEEPER_CACHE_URL": "valkeys://shop:p%40ss@cache.example.com:6380/3"},
        {},
    ],
)
def test_what_a_shop_may_need_is_taken(environ: dict[str, str]) -> None:
    assert load({}, environ) is not None


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text("port: 80")
    with pytest.raises(SettingsError, match=r"shop\.toml is not TOML"):
        load({}, {}, file)


def test_secrets_are_hidden_when_settings_are_shown_and_when_they_are_wrong() -> None:
    settings = Settings(
        secret_key="s3cret-key" * 4,
        smtp_password="s3cret-mail",
        cache_url="valkey://shop:s3cret-cache@cache:6379/0",
    )
    assert "s3cret" not in str(shown(settings))
    for short in (
        {"secret_key": "s3cret"},
        {"old_secret_keys": ["s3cret"]},
        {"cache_url": "valkey://shop:s3cret@cache/first"},
    ):
        with pytest.raises(SettingsError) as stopped:
            load(short, {})
        assert "s3cret" not in str(stopped.value)
    with pytest.raises(SettingsError) as stopped:
        load({"smtp_password": ["s3cret"]}, {})
    assert "s3cret" not in str(stopped.value).split(":")[0]


def test_lists_are_given_with_commas() -> None:
    environ = {"STOREKEEPER_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1"}
    assert load({}, environ).trusted_proxies == ("10.0.0.0/8", "127.0.0.1")


def test_secrets_that_are_long_enough_are_taken() -> None:
    settings = load({"secret_key": "x" * 32, "old_secret_keys": ["y" * 16]}, {})
    assert (len(settings.secret_key), len(settings.old_secret_keys)) == (32, 1)
