"""Whoever runs the shop without AWS is told of the same troubles, and of nothing in good hours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deploy.aws.alarms import FULL_DISK
from deploy.single.prometheus import as_on_aws
from deploy.single.prometheus.alerts import LEFT_OUT, Alert, all_alerts, rules
from storekeeper.telemetry import alarms as of_shop
from tests.deploy.promtool import FOLDER, RULES, judged, played
from tests.support.processes import ROOT

ALERTS = {one.name: one for one in all_alerts()}
Series = dict[str, str]

UP = 'up{job="storekeeper",instance="a"}'
OTHER_UP = 'up{job="storekeeper-machine",instance="a"}'
READY = 'probe_success{job="storekeeper-ready",instance="a"}'
PUBLIC = 'probe_success{job="storekeeper-public",instance="a"}'
EXPIRY = 'probe_ssl_earliest_cert_expiry{job="storekeeper-public",instance="a"}'
FAULTS = 'storekeeper_http_faults_total{job="storekeeper"}'
REQUESTS = 'storekeeper_http_requests_total{job="storekeeper",status="200"}'
QUEUE = 'storekeeper_write_queue_depth{job="storekeeper"}'
LAG = 'storekeeper_outbox_lag_seconds{job="storekeeper"}'
DEAD = 'storekeeper_dead_letters{job="storekeeper"}'
AWAY = 'storekeeper_cache_away{job="storekeeper"}'
BACKUP = 'storekeeper_backup_lag_seconds{job="storekeeper"}'
ORDERS = 'storekeeper_orders_total{job="storekeeper",outcome="placed"}'


def answered(*, within_1_s: int, of: int, start: str = "0") -> Series:
    """Requests in each quarter of a minute."""
    bucket = 'storekeeper_http_request_seconds_bucket{job="storekeeper",le="%s"}'
    return {
        bucket % "1": f"{start}+{within_1_s}x60",
        bucket % "2.5": f"{start}+{of}x60",
        bucket % "+Inf": f"{start}+{of}x60",
        REQUESTS: f"{start}+{of}x60",
    }


def disk(free: int, kind: str = "ext4") -> Series:
    """In percent of what isn't kept for root."""
    where = f'{{job="storekeeper-machine",instance="a",mountpoint="/",fstype="{kind}"}}'
    return {
        f"node_filesystem_avail_bytes{where}": f"{free}x60",
        f"node_filesystem_free_bytes{where}": f"{free + 50}x60",
        f"node_filesystem_size_bytes{where}": "150x60",
    }


def memory(free: int) -> Series:
    where = '{job="storekeeper-machine",instance="a"}'
    return {
        f"node_memory_MemAvailable_bytes{where}": f"{free}x60",
        f"node_memory_MemTotal_bytes{where}": "100x60",
    }


class Case(NamedTuple):
    """Values every quarter of a minute, of which the alert tells after ten minutes, or doesn't."""

    rings: tuple[Series, ...]
    quiet: tuple[Series, ...]


DAY = 86_400
CASES = {
    "error-rate": Case(
        rings=({FAULTS: "0+2x60", REQUESTS: "0+10x60"},),
        quiet=(
            # 4 % of a hundred a minute.
            {FAULTS: "0+1x60", REQUESTS: "0+25x60"},
            # All of four a minute.
            {FAULTS: "0+1x60", REQUESTS: "0+1x60"},
            # One bad minute of three.
            {FAULTS: "0x33 9x27", REQUESTS: "0+10x60"},
        ),
    ),
    "fault-burst": Case(
        rings=({FAULTS: "0+4x60"}, {FAULTS: "0x37 40x20"}), quiet=({FAULTS: "0+2x60"},)
    ),
    "slow": Case(
        rings=(answered(within_1_s=9, of=10),),
        quiet=(
            answered(within_1_s=10, of=10),
            answered(within_1_s=0, of=4),
            # Since two minutes.
            answered(within_1_s=0, of=10, start="_x32 0"),
        ),
    ),
    "write-queue": Case(rings=({QUEUE: "3500x60"},), quiet=({QUEUE: "3000x60"},)),
    "outbox-lag": Case(rings=({LAG: "301x60"},), quiet=({LAG: "299x60"}, {LAG: "0x30 400x4 0x30"})),
    "dead-letters": Case(rings=({DEAD: "0x38 1x20"},), quiet=({DEAD: "0x60"},)),
    "cache-away": Case(
        rings=({AWAY: "1x60"},), quiet=({AWAY: "0x60"}, {AWAY: "0x30 1x4 0x30"}, {})
    ),
    "silent": Case(rings=({UP: "0x60"}, {}), quiet=({UP: "1x60"}, {UP: "1x30 0x9 1x30"})),
    "not-ready": Case(
        rings=({READY: "0x60"},),
        quiet=({READY: "1x60"}, {READY: "1x36 0x2 1x20"}, {READY: "1x34 0x26"}),
    ),
    "unreachable": Case(
        rings=({PUBLIC: "0x60"},), quiet=({PUBLIC: "1x60"}, {PUBLIC: "1x34 0x4 1x20"})
    ),
    "certificate": Case(
        rings=({EXPIRY: f"{13 * DAY}x60"},), quiet=({EXPIRY: f"{15 * DAY}x60"}, {EXPIRY: "_x60"})
    ),
    "blind": Case(rings=({OTHER_UP: "0x60"},), quiet=({OTHER_UP: "1x60"}, {UP: "0x60"})),
    "backup-behind": Case(
        rings=({BACKUP: "301x60"},),
        quiet=({BACKUP: "299x60"}, {BACKUP: "0x30 400x4 0x30"}, {}),
    ),
    "disk": Case(rings=(disk(free=19),), quiet=(disk(free=21), disk(free=0, kind="squashfs"))),
    "memory": Case(rings=(memory(free=9),), quiet=(memory(free=11),)),
}
# Values every quarter of an hour: twenty orders an hour, and what came of them in the hour before
# half a day after the third week.
WEEK = 7 * 24 * 4
LAST = 3 * WEEK + 12 * 4
NO_ORDERS = Case(
    rings=({ORDERS: f"0+5x{LAST - 4} {5 * (LAST - 4)}x4"},),
    quiet=(
        {ORDERS: f"0+5x{LAST}"},
        # Nobody ever orders at this hour.
        {ORDERS: f"0x{LAST}"},
        # Eight an hour, of which there may be none by chance.
        {ORDERS: f"0+2x{LAST - 4} {2 * (LAST - 4)}x4"},
        # Open for eight days.
        {ORDERS: f"_x{LAST - 8 * 96} 0+5x{8 * 96 - 5} {5 * (8 * 96 - 5)}x4"},
    ),
)


def play(alert: Alert, series: Series, *, rings: bool, step: str, at: str) -> dict[str, Any]:
    """Asked for as a series, so that the words needn't be told again. `step`: of the values."""
    return {
        "name": f"{alert.title} with {series}",
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert.title}",alertstate="firing"}})',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if rings else [],
            }
        ],
    }


def plays(alert: Alert, case: Case, *, step: str, at: str) -> list[dict[str, Any]]:
    return [
        play(alert, series, rings=rings, step=step, at=at)
        for rings, all_series in ((True, case.rings), (False, case.quiet))
        for series in all_series
    ]


def test_the_rules_are_what_their_definition_makes() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "deploy.single.prometheus"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert made.stdout == RULES.read_text()


def test_each_alarm_at_aws_has_its_alert_or_a_reason() -> None:
    stood_for = {one.like for one in ALERTS.values()} - {""}
    assert stood_for | LEFT_OUT.keys() == as_on_aws.alarms().keys()
    assert not stood_for & LEFT_OUT.keys()


def test_thresholds_and_times_are_those_of_the_alarms() -> None:
    assert f"> {FULL_DISK:g}" in ALERTS["disk"].expression
    assert f">= {of_shop.BURST}" in ALERTS["fault-burst"].expression
    assert f"> {of_shop.LATE_S:g}" in ALERTS["outbox-lag"].expression
    assert ALERTS["memory"].holds_s == (as_on_aws.terms("memory").periods - 1) * 60
    assert ALERTS["error-rate"].severity == "critical"
    assert ALERTS["slow"].severity == "warning"


def test_each_leads_to_a_part_of_the_runbook() -> None:
    for one in ALERTS.values():
        text = (ROOT / "docs" / one.page).read_text()
        assert re.search(rf"^#+ {one.name}$", text, re.MULTILINE), f"{one.page}#{one.name}"


def test_links_lead_where_the_documents_are() -> None:
    text = rules("https://wiki.example.com/shop")
    assert 'runbook_url: "https://wiki.example.com/shop/operations.md#slow"' in text


def test_prometheus_takes_rules_and_configuration() -> None:
    assert f"{len(ALERTS)} rules found" in judged("promtool", "check", "rules", str(RULES))
    judged("promtool", "check", "config", str(FOLDER / "prometheus.yml"))


def test_alertmanager_takes_its_configuration() -> None:
    judged("amtool", "check-config", str(FOLDER / "alertmanager.yml"))


def test_mails_that_are_held_back_are_of_alerts_that_exist() -> None:
    text = (FOLDER / "alertmanager.yml").read_text()
    named = set(re.findall(r"Storekeeper\w+", text))
    assert named
    assert named <= {one.title for one in ALERTS.values()}


def test_rules_look_at_jobs_that_are_configured() -> None:
    configured = set(re.findall(r"job_name: (\S+)", (FOLDER / "prometheus.yml").read_text()))
    looked_at = set(re.findall(r'job="([^"]+)"', RULES.read_text()))
    assert looked_at == configured


@pytest.mark.parametrize("name", CASES)
def test_it_rings_in_trouble_and_is_quiet_in_good_hours(name: str, tmp_path: Path) -> None:
    played(tmp_path, step="15s", plays=plays(ALERTS[name], CASES[name], step="15s", at="10m"))


def test_a_usual_hour_without_an_order_rings(tmp_path: Path) -> None:
    alert = ALERTS["no-orders"]
    # Rules are evaluated twice a day alone: three weeks of minutes would take half an hour.
    played(tmp_path, step="12h", plays=plays(alert, NO_ORDERS, step="15m", at=f"{LAST // 4}h"))


def test_every_alert_was_made_to_ring() -> None:
    assert CASES.keys() | {"no-orders"} == ALERTS.keys()


def test_words_have_their_figures_in_them(tmp_path: Path) -> None:
    alert = ALERTS["disk"]
    told = {
        "exp_labels": {"severity": "warning", "instance": "a", "mountpoint": "/"},
        "exp_annotations": {
            "summary": "A disk is nearly full",
            "description": "/ of a is 95 % full. When it is full, orders are refused.",
            "runbook_url": "docs/operations.md#disk",
        },
    }
    test = {"eval_time": "10m", "alertname": alert.title, "exp_alerts": [told]}
    series = [{"series": name, "values": values} for name, values in disk(free=5).items()]
    wanted = {"interval": "15s", "input_series": series, "alert_rule_test": [test]}
    played(tmp_path, step="15s", plays=[wanted])
