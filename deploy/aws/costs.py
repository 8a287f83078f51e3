"""What a month costs, at three sizes of business. Figures of use are those that were measured
(`docs/benchmarks.md`, `dynamodb_cost`); prices are in `prices.toml`, with their date and source.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.aws.alarms import Watched, all_alarms
from deploy.aws.fixed import INTERFACES, REQUESTS_A_MINUTE
from deploy.aws.settings import Environment

PRICES = Path(__file__).parent / "prices.toml"
UNIT_PRICES = Path(__file__).resolve().parents[2] / "benchmarks" / "dynamodb_prices.toml"
ORDERS_A_MINUTE = (0, 10, 1_000)
MINUTES = 60 * 730
# Measured: of a three-line order with all work of the node and the tables for other programs, one
# after the other; the two indexes of `orders` take two units more, which don't go over the wire.
WRITES_OF_ORDER, READS_OF_ORDER = 3.09 + 2, 0.38
# Measured: of a node that nobody visits, in an hour; the first leads.
IDLE_LEADER, IDLE_FURTHER = (1_080, 8_640), (0, 3_240)
# A visited node looks at the log up to four times a second; a unit each.
LOOKS_A_MINUTE = 240
# Assumed, not measured: what customers ask for one order, how long answers are, lines of the log.
REQUESTS_OF_ORDER = 30
KB_OF_ANSWER = 4
LOG_BYTES_OF_REQUEST = 400
# Measured: an entry of the log is 1 KB at most, the order itself 1.3 KB, and lies in two indexes.
KB_OF_ORDER = 3
KEPT_MONTHS = 6
MESSAGES_OF_ORDER = 2
# docs/cloudwatch.md: metrics of the shop at most; and those of machines.
METRICS = 26 + 2
# Keys, and the passwords for the cache and for mail, which are there without them too.
SECRETS = 3


class Cost(NamedTuple):
    """Dollars a month for one kind of thing."""

    what: str
    dollars: float


def monthly(given: Environment, orders_a_minute: int) -> list[Cost]:
    """Where the money goes, the region's factor in it."""
    prices = tomllib.loads(PRICES.read_text())
    factor = factor_of(given, prices)
    requests = orders_a_minute * MINUTES * REQUESTS_OF_ORDER
    machines = machines_at(given, orders_a_minute)
    found = {
        "machines and disks": _machines(given, prices, machines),
        "endpoints, load balancer, NAT": _network(given, prices, requests),
        "tables": _tables(given, prices, orders_a_minute, machines),
        "gateway, firewall, traffic": _door(given, prices, requests),
        "figures, alarms, logs": _watching(given, prices, requests, machines),
        "topics, keys, secrets": _small(given, prices, orders_a_minute),
    }
    if given.cache:
        found["cache"] = _cache(prices, requests)
    return [Cost(what, dollars * factor) for what, dollars in found.items()]


def factor_of(given: Environment, prices: Mapping[str, Any]) -> float:
    """Of a region without one: that of the dearest known."""
    return float(prices["factor"][priced_as(given, prices)])


def priced_as(given: Environment, prices: Mapping[str, Any]) -> str:
    """The region whose prices are reckoned with."""
    known: dict[str, float] = prices["factor"]
    return given.region if given.region in known else max(known, key=known.__getitem__)


def machines_at(given: Environment, orders_a_minute: int) -> int:
    """As the scaling by requests would have it; its figure is in `fixed`."""
    size = given.machines
    wanted = -(-orders_a_minute * REQUESTS_OF_ORDER // REQUESTS_A_MINUTE)
    return min(max(size.least, wanted), size.most)


def _machines(given: Environment, prices: Mapping[str, Any], number: int) -> float:
    size = given.machines
    hourly = prices["machine"][size.instance]
    disk = prices["network"]["disk_gb_month"]
    return float(number * (hourly * prices["hours"] + disk * size.disk_gb))


def _network(given: Environment, prices: Mapping[str, Any], requests: int) -> float:
    price, hours = prices["network"], prices["hours"]
    services = len(INTERFACES) + (given.cognito != "off") + given.mails_by_ses
    endpoints = services * given.machines.endpoint_zones * price["endpoint_hour"]
    gb_an_hour = requests * KB_OF_ANSWER / 1e6 / hours
    units = max(1.0, gb_an_hour)
    balancer = price["balancer_hour"] + units * price["balancer_unit_hour"]
    nat = price["nat_hour"] if given.outbound else 0.0
    return float((endpoints + balancer + nat) * hours)


def units(orders_a_minute: int, machines: int) -> tuple[float, float]:
    """Write and read units of a month."""
    hours = MINUTES / 60
    idle_writes = IDLE_LEADER[0] * hours
    idle_reads = (IDLE_LEADER[1] + (machines - 1) * IDLE_FURTHER[1]) * hours
    orders = orders_a_minute * MINUTES
    # Each node reads what the others wrote, a look at a time.
    looks = machines * LOOKS_A_MINUTE * MINUTES if orders else 0
    asked = orders * READS_OF_ORDER
    return idle_writes + orders * WRITES_OF_ORDER, max(idle_reads, looks) + asked


def _tables(
    given: Environment, prices: Mapping[str, Any], orders_a_minute: int, machines: int
) -> float:
    """In dollars of us-east-1; storage is that of a shop after `KEPT_MONTHS`."""
    price = tomllib.loads(UNIT_PRICES.read_text())["us-east-1"]
    writes, reads = units(orders_a_minute, machines)
    gigabytes = orders_a_minute * MINUTES * KEPT_MONTHS * KB_OF_ORDER / 1e6
    kept = prices["storage"]
    a_gigabyte = kept["table_gb_month"] + kept["recovery_gb_month"] + kept["backup_gb_month"]
    return float((writes * price["write"] + reads * price["read"]) / 1e6 + gigabytes * a_gigabyte)


def _door(given: Environment, prices: Mapping[str, Any], requests: int) -> float:
    million = requests / 1e6
    found = million * prices["requests"]["gateway_million"]
    found += requests * KB_OF_ANSWER / 1e6 * prices["network"]["out_gb"]
    if given.firewall:
        fixed = prices["fixed"]
        found += fixed["firewall_month"] + 2 * fixed["firewall_rule_month"]
        found += million * prices["requests"]["firewall_million"]
    return float(found)


def _watching(given: Environment, prices: Mapping[str, Any], requests: int, machines: int) -> float:
    price = prices["watching"]
    at = Watched(api="", balancer="", targets="", group="", undelivered="")
    looked_at = sum(
        len([one for one in alarm.get("Metrics", [{"MetricStat": {}}]) if "MetricStat" in one])
        for alarm in all_alarms(given, at, "").values()
    )
    # The gateway writes a line for each request as well.
    gigabytes = 2 * requests * LOG_BYTES_OF_REQUEST / 1e9
    processes = machines * given.machines.processes
    return float(
        METRICS * price["metric_month"]
        + looked_at * price["alarm_metric_month"]
        + price["composite_month"]
        + price["dashboard_month"]
        + gigabytes * price["log_gb"]
        + (processes + machines) * MINUTES / 1_000 * price["puts_thousand"]
    )


def _small(given: Environment, prices: Mapping[str, Any], orders_a_minute: int) -> float:
    messages = orders_a_minute * MINUTES * MESSAGES_OF_ORDER
    fixed = prices["fixed"]
    return float(
        messages / 1e6 * prices["requests"]["sns_million"]
        + fixed["key_month"]
        + SECRETS * fixed["secret_month"]
    )


def _cache(prices: Mapping[str, Any], requests: int) -> float:
    smallest_gb = 0.1
    return float(
        smallest_gb * prices["storage"]["cache_gb_hour"] * prices["hours"]
        + requests / 1e6 * prices["requests"]["cache_million_units"]
    )
