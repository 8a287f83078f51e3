"""What people and scripts rely on: help that teaches, results that parse, exit codes that tell."""

from __future__ import annotations

import csv
import re
import signal

import apsw
import pytest

from storekeeper.demo import open_sample
from tests.cli.terminal import eventually

COMMANDS = [
    ["serve"],
    ["init"],
    ["demo"],
    ["create-admin"],
    ["import", "products"],
    ["import", "stock"],
    ["export", "products"],
    ["export", "stock"],
    ["export", "orders"],
    ["export", "movements"],
    ["replay"],
    ["verify"],
    ["backup"],
    ["restore"],
    ["migrate"],
    ["config"],
    ["openapi"],
    ["report", "summary"],
    ["report", "sales"],
    ["report", "stock-value"],
]
PRODUCTS = "sku,name,price,currency\nMUG,A mug,9.99,GBP\nCUP,A cup,4.50,GBP\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_every_command_teaches_by_example(terminal, command):
    text = terminal.ok(*command, "--help").out
    assert "Examples:" in text
    assert f"storekeeper {' '.join(command)}" in text


def test_help_names_every_command_and_every_exit_code(terminal):
    text = terminal.ok("--help").out
    assert all(re.search(rf"\b{command[0]}\b", text) for command in COMMANDS)
    assert all(f"{code} " in text for code in ("0", "1", "2", "3", "130"))


def test_a_wrong_option_is_wrong_usage(terminal):
    ended = terminal.run("verify", "--nonsense")
    assert (ended.code, ended.out) == (2, "")
    assert "--nonsense" in ended.err


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (
            {"STOREKEEPER_PORT": "eighty"},
            "port = 'eighty' can't be used: it must be a whole number",
        ),
        (
            {"STOREKEEPER_WORKERS": "1.5"},
            "workers = '1.5' can't be used: it must be a whole number",
        ),
        ({"STOREKEEPER_LOW_STOCK_THRESHOLD": "x"}, "can't be used: it must be a whole number"),
        ({"STOREKEEPER_NOTIFY_CONSOLE": "maybe"}, "can't be used: it must be true or false"),
        ({"STOREKEEPER_CURRENCY": "gbp"}, "currency = 'gbp' can't be used: it is no currency in"),
        ({"STOREKEEPER_PROT": "8000"}, "STOREKEEPER_PROT is set, but there is no such setting"),
        ({"STOREKEEPER_CONFIG": "missing.toml"}, "missing.toml can't be read"),
    ],
    ids=["text", "part", "no number", "neither", "currency", "unknown name", "no file"],
)
@pytest.mark.parametrize("command", ["serve", "config", "verify"])
def test_wrong_settings_end_the_start_with_one_clear_sentence(terminal, command, environment, told):
    ended = terminal.run(command, **environment)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (terminal.folder / "data").exists()


def test_config_shows_where_a_setting_came_from_flags_before_environment_before_file(terminal):
    (terminal.folder / "shop.toml").write_text('port = 1\nhost = "1.1.1.1"\ndatabase = "x.db"\n')
    shown = terminal.ok(
        "config", "--json", "-c", "shop.toml", "-d", "flag.db", STOREKEEPER_HOST="2.2.2.2"
    ).json
    assert (shown["port"], shown["host"], shown["database"]) == (1, "2.2.2.2", "flag.db")


def test_config_hides_secrets(terminal):
    ended = terminal.ok(
        "config", STOREKEEPER_SECRET_KEY="hush-hush" * 4, STOREKEEPER_SMTP_PASSWORD="x1"
    )
    assert "hush-hush" not in ended.out
    assert re.search(r"smtp_password\s+\(hidden\)", ended.out)


@pytest.mark.parametrize(
    "command", [["verify"], ["migrate"], ["export", "orders"], ["backup", "b.db"]], ids=" ".join
)
def test_a_mistyped_database_makes_no_empty_shop(terminal, command):
    ended = terminal.run(*command, "--database", "shpo.db")
    assert ended.code == 1
    assert "shpo.db" in ended.err
    assert not (terminal.folder / "shpo.db").exists()


def test_a_file_that_is_no_shop_is_named_and_left_alone(terminal):
    path = terminal.folder / "notes.db"
    path.write_bytes(b"these are my notes, not a database" * 100)
    before = path.read_bytes()
    for command in (["verify"], ["serve", "--port", "0"], ["init"]):
        ended = terminal.run(*command, "--database", path)
        assert ended.code == 3
        assert "notes.db" in ended.err
        assert "Traceback" not in ended.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["verify", "serve", "init", "demo", "backup", "migrate"])
def test_a_shop_whose_file_was_emptied_is_no_new_shop(terminal, command):
    terminal.ok("init", "-d", "shop.db")
    shop = terminal.folder / "shop.db"
    shop.write_bytes(b"")
    ended = terminal.run(command, *(["copy.db"] if command == "backup" else []), "-d", "shop.db")
    assert (ended.code, shop.read_bytes()) == (3, b"")
    assert "holds no shop" in ended.err
    assert "storekeeper restore BACKUP" in ended.err


def test_a_place_that_takes_no_files_is_named_and_not_the_key_beside_it(terminal):
    ended = terminal.run("init", "-d", "/proc/shop.db")
    assert ended.code == 3
    assert "/proc/shop.db can't be made" in ended.err
    assert "secret.key" not in ended.err


def test_a_shop_of_a_newer_version_is_not_opened(terminal):
    terminal.ok("init")
    with apsw.Connection(str(terminal.folder / "data/shop.db")) as connection:
        connection.pragma("user_version", 99)
    ended = terminal.run("serve", "--port", "0")
    assert ended.code == 3
    assert "newer Storekeeper" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ["init", "demo", "serve"])
def test_a_slip_in_a_path_makes_no_shop_in_a_new_place(terminal, command):
    ended = terminal.run(command, "--database", "dta/shop.db")
    assert ended.code == 3
    assert "there is no folder dta" in ended.err
    assert not (terminal.folder / "dta").exists()


def test_a_refused_restore_leaves_nothing_behind(terminal):
    (terminal.folder / "backup.db").write_bytes(b"no database at all" * 100)
    ended = terminal.run("restore", "backup.db", "--database", "shop.db")
    assert ended.code == 3
    assert [path.name for path in terminal.folder.iterdir()] == ["backup.db"]


def test_one_is_not_many(terminal):
    (terminal.folder / "one.csv").write_text("sku,name,price\nA,A,1.00\n")
    assert terminal.ok("import", "products", "one.csv").out.startswith("1 row: 1 created")
    (terminal.folder / "bad.csv").write_text("sku,name,price\nB,B,free\n")
    assert "1 bad row in" in terminal.run("import", "products", "bad.csv").err


def test_init_makes_a_shop_once(terminal):
    assert terminal.ok("init", "--json").json["created"] is True
    assert terminal.ok("init", "--json").json["created"] is False


def test_errors_are_json_too_where_json_is_asked_for(terminal):
    ended = terminal.run("verify", "--json")
    assert ended.json["error"]["code"] == "not_found"


def test_verify_names_a_difference_and_ends_with_1(terminal):
    terminal.ok("demo")
    found = terminal.ok("verify", "--json").json
    assert found == {"differences": [], "views": [], "erasure_waiting": 0}
    connection = apsw.Connection(str(terminal.folder / "data/shop.db"))
    connection.execute("UPDATE stock SET on_hand = on_hand + 1 WHERE product_pk = 7")
    connection.close()
    ended = terminal.run("verify", "--json")
    assert ended.code == 1
    assert [one["what"] for one in ended.json["differences"]] == ["on_hand"]


def test_an_admin_gets_a_password_that_was_given_or_one_that_is_shown_once(terminal):
    given = terminal.ok(
        "create-admin", "a@example.com", "--password-stdin", "--json", stdin="ridge-carbon-42\n"
    )
    made = terminal.ok("create-admin", "b@example.com", "--json")
    assert "password" not in given.json
    assert len(made.json["password"]) >= 20


@pytest.mark.parametrize(
    ("email", "password", "told"),
    [
        ("a@example.com", "password123", "password"),
        ("not an address", "ridge-carbon-42", "address"),
    ],
)
def test_a_refused_admin_is_told_why_in_one_sentence(terminal, email, password, told):
    ended = terminal.run("create-admin", email, "--password-stdin", stdin=f"{password}\n")
    assert ended.code == 1
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1


def test_products_come_in_and_go_out_the_same(terminal):
    (terminal.folder / "in.csv").write_text(PRODUCTS)
    report = terminal.ok("import", "products", "in.csv", "--json").json
    assert (report["created"], report["failed"]) == (2, 0)
    exported = terminal.ok("export", "products").out
    (terminal.folder / "out.csv").write_text(exported)
    again = terminal.ok("import", "products", "out.csv", "--json").json
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 2)


def test_stock_comes_in_by_count_and_goes_out_the_same(terminal):
    (terminal.folder / "in.csv").write_text(PRODUCTS)
    (terminal.folder / "count.csv").write_text("sku,location,on_hand\nMUG,main,12\n")
    terminal.ok("import", "products", "in.csv")
    terminal.ok("import", "stock", "count.csv")
    rows = list(csv.DictReader(terminal.ok("export", "stock").out.splitlines()))
    assert rows == [{"sku": "MUG", "location": "main", "on_hand": "12"}]


def test_a_dry_run_changes_nothing(terminal):
    (terminal.folder / "in.csv").write_text(PRODUCTS)
    report = terminal.ok("import", "products", "in.csv", "--dry-run", "--json").json
    assert (report["created"], report["applied"]) == (2, False)
    assert terminal.ok("export", "products").out.count("\n") == 1


def test_bad_rows_are_all_reported_and_nothing_else_is_lost(terminal):
    (terminal.folder / "in.csv").write_text(f"{PRODUCTS}POT,A pot,cheap,GBP\n,No SKU,1.00,GBP\n")
    refused = terminal.run("import", "products", "in.csv", "--json")
    assert (refused.code, refused.json["applied"]) == (1, False)
    skipped = terminal.run("import", "products", "in.csv", "--skip-bad", "--errors", "bad.csv")
    assert skipped.code == 1
    bad = list(csv.DictReader((terminal.folder / "bad.csv").read_text().splitlines()))
    assert [(row["line"], row["field"]) for row in bad] == [("4", "price"), ("5", "sku")]
    assert terminal.ok("export", "products").out.count("\n") == 3


def test_an_export_to_a_file_is_whole_or_not_there(terminal):
    terminal.ok("demo")
    done = terminal.ok("export", "movements", "--output", "ledger.csv", "--json").json
    lines = (terminal.folder / "ledger.csv").read_text().count("\n")
    assert lines == done["exported"] + 1
    assert [path.name for path in terminal.folder.glob(".*part")] == []


def test_openapi_prints_the_document(terminal):
    document = terminal.ok("openapi").json
    assert document["openapi"].startswith("3.1")
    assert "/orders" in document["paths"]


def test_migrate_says_that_a_shop_is_up_to_date(terminal):
    terminal.ok("init")
    assert terminal.ok("migrate", "--json").json["migrations"] == 0


def test_ctrl_c_ends_with_one_line(terminal):
    with open_sample() as sample:
        (terminal.folder / "lines.csv.gz").write_bytes(sample.read())
    process = terminal.start("replay", "lines.csv.gz")
    eventually((terminal.folder / "data/shop.db-wal").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert terminal.errors().splitlines()[-1] == "stopped"
    assert "Traceback" not in terminal.errors()
    process.stdout.close()


def test_reports_tell_people_and_programs_the_same(terminal):
    terminal.ok("demo")
    summary = terminal.ok("report", "summary", "--json").json
    sales = terminal.ok("report", "sales", "--by", "month", "--json").json
    assert sales["is_all"]
    assert sum(row["units"] for row in sales["items"]) == summary["sold_units"]
    assert {"GBP": sum(row["revenue"] for row in sales["items"])} == summary["revenue"]
    table = terminal.ok("report", "sales", "--by", "month").out
    rows = csv.DictReader(terminal.ok("report", "sales", "--by", "month", "--csv").out.splitlines())
    for row in rows:
        assert f"{row['key']}  " in table
        assert f"{row['revenue']} GBP" in table
    worth = terminal.ok("report", "stock-value", "--by", "location", "--json").json
    assert sum(row["units"] for row in worth["items"]) == summary["units_on_hand"]
    assert "nothing to add up" in terminal.ok("report", "sales", "--before", "2001-01-01").out


def test_a_report_of_a_shop_that_is_not_there_makes_none(terminal):
    ended = terminal.run("report", "summary")
    assert ended.code == 1
    assert not (terminal.folder / "data").exists()
