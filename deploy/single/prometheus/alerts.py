"""Alerts for Prometheus: for a shop without AWS, what CloudWatch's alarms tell of one at AWS.

Thresholds and times are those of the alarms (`as_on_aws`); here are expressions and words. Windows
are as short as the alarms' periods, so figures have to be read four times a minute.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import NamedTuple

from deploy.aws.alarms import AWAY, ORDERS, WAKING
from deploy.single.prometheus import as_on_aws
from deploy.single.prometheus.as_on_aws import Terms
from deploy.single.prometheus.figures import JOB, PUBLIC, READY, disk, duration, memory, probed
from storekeeper.telemetry import alarms as of_shop

CERTIFICATE_DAYS = 14
# There where a backup is streamed; a minute is its usual age at most.
BACKUP_LAG = "storekeeper_backup_lag_seconds"
BACKUP_LATE_S = 300
# Orders in an hour of the week, so many that none at all is no chance (e^-10).
USUAL_ORDERS = 10
WEEKS = (1, 2, 3, 4)
WEEKS_NEEDED = 2
# Stands in an expression for the alarm's period.
WINDOW = "WINDOW"
# Alarms at AWS that have no alert here, and why.
LEFT_OUT = {
    "agent-silent": "there is no agent; blind tells of exporters that can't be read",
    "few-machines": "there is one machine",
    "figures-dropped": "no figures are sent; silent and blind tell of those that can't be read",
    "gateway-slow": "there is no gateway; slow is the shop's own time",
    "log-errors": "CloudWatch counts them in the log; the shop has no figure of them",
    "table-errors": "there are no tables of DynamoDB",
    "table-throttled": "there are no tables of DynamoDB",
    "undelivered": "there is no queue of SQS; dead-letters tells of the shop's own deliveries",
    "unhealthy-machine": "there is one machine, and not-ready tells of it",
    "view-errors": "there are no tables of DynamoDB",
}


class Alert(NamedTuple):
    """`name` is its part of the runbook, in `page` of the documents; `like` the alarm at AWS that
    it stands for, if any."""

    name: str
    like: str
    expression: str
    holds_s: int
    summary: str
    description: str
    page: str = "operations.md"

    @property
    def title(self) -> str:
        return "Storekeeper" + "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def severity(self) -> str:
        """`critical`: customers can't order now, or soon can't."""
        return "critical" if self.like in WAKING else "warning"


def all_alerts() -> list[Alert]:
    return [*_of_requests(), *_of_work(), *_of_reach(), *_of_watch(), *_of_machine(), _no_orders()]


def rules(docs: str = "docs") -> str:
    """The file of rules. `docs`: the address under which the documents are, for links."""
    lines = [
        "# Made by `python -m deploy.single.prometheus`; --docs ADDRESS makes links that lead",
        "# somewhere. What is in here is said in deploy/single/prometheus/alerts.py.",
        "groups:",
        f"  - name: {JOB}",
        "    rules:",
    ]
    for one in all_alerts():
        lines += [
            f"      - alert: {one.title}",
            "        expr: |",
            indent(one.expression, " " * 10),
            *([f"        for: {duration(one.holds_s)}"] if one.holds_s else []),
            "        labels:",
            f"          severity: {one.severity}",
            "        annotations:",
            f"          summary: {_quoted(one.summary)}",
            f"          description: {_quoted(one.description)}",
            f"          runbook_url: {_quoted(f'{docs}/{one.page}#{one.name}')}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A string of JSON is one of YAML too."""
    return json.dumps(text, ensure_ascii=False)


def _rung(terms: Terms, figure: str) -> tuple[str, int]:
    """When `figure` rings as the alarm would: an expression, and seconds that it has to hold."""
    figure = figure.replace(WINDOW, duration(terms.period))
    if terms.needed == terms.periods:
        # The first value tells of a whole period already.
        holds_s = (terms.periods - 1) * terms.period
        return f"{figure} {terms.compared} {terms.threshold:g}", holds_s
    # A second less than the periods, or both ends of the range would count.
    past = f"[{terms.periods * terms.period - 1}s:{duration(terms.period)}]"
    found = indent(f"{figure} {terms.compared} bool {terms.threshold:g}", "    ")
    return f"sum_over_time(\n  (\n{found}\n  ){past}\n) >= {terms.needed}", 0


def _alert(name: str, figure: str, summary: str, description: str) -> Alert:
    """One that rings as the alarm of that name. WHEN in the description: how long it took."""
    terms = as_on_aws.terms(name)
    expression, holds_s = _rung(terms, figure)
    return Alert(name, name, expression, holds_s, summary, _told(description, terms))


def _told(description: str, terms: Terms) -> str:
    if terms.needed < terms.periods:
        when = f"in {terms.needed} of {terms.periods} minutes"
    else:
        when = f"for {terms.periods} minutes"
    return description.replace("WHEN", when)


def _of_requests() -> list[Alert]:
    requests = f"sum by (job) (increase({of_shop.REQUESTS}[{WINDOW}]))"
    enough = f"{requests} >= {of_shop.LEAST_REQUESTS}"
    faults = f"sum by (job) (increase({of_shop.FAULTS}[{WINDOW}]))"
    buckets = f"sum by (job, le) (rate({of_shop.SECONDS}_bucket[{WINDOW}]))"
    return [
        _alert(
            "error-rate",
            f"100 * {faults}\n/ ({enough})",
            "Requests fail",
            f"More than {of_shop.MOST_PERCENT} % of at least {of_shop.LEAST_REQUESTS} requests a "
            "minute were answered with 500 or above, WHEN.",
        ),
        _alert(
            "fault-burst",
            faults,
            "Many requests failed at once",
            f"{of_shop.BURST} or more requests were answered with 500 or above within a minute.",
        ),
        _alert(
            "slow",
            f"(\n  histogram_quantile(0.99, {buckets})\n  and {enough}\n)",
            "The shop is slow",
            f"One request in a hundred has taken more than {of_shop.SLOW_S:g} s WHEN.",
        ),
    ]


def _of_work() -> list[Alert]:
    def largest(name: str) -> str:
        return f"max by (job) (max_over_time({name}[{WINDOW}]))"

    lag = _alert(
        "outbox-lag",
        largest(of_shop.LAG),
        "Mails, webhooks or messages are late",
        'An event has waited {{ printf "%.0f" $value }} s for a channel that doesn\'t take it.',
    )
    dead = _alert(
        "dead-letters",
        largest(of_shop.DEAD),
        "Deliveries were given up",
        '{{ printf "%.0f" $value }} deliveries were given up. They are kept, and can be sent again.',
    )
    return [
        _alert(
            "write-queue",
            largest(of_shop.QUEUE),
            "Changes wait to be written",
            "Three quarters of the places for waiting change sets are taken: "
            '{{ printf "%.0f" $value }} wait. When all are taken, orders are refused.',
        ),
        lag._replace(page="aws.md"),
        dead._replace(page="aws.md"),
        _alert(
            "cache-away",
            largest(AWAY),
            "The shared cache can't be used",
            "The shop has gone on without its shared cache WHEN, a little slower.",
        ),
    ]


def _of_reach() -> list[Alert]:
    own = f'up{{job="{JOB}"}}'
    silent = _alert(
        "silent",
        f"max by (job) (max_over_time({own}[{WINDOW}]))",
        "The shop's figures can't be read",
        "Prometheus has got no figures of the shop WHEN: it is down, or can't be reached from "
        "there.",
    )
    ready = _alert(
        "no-machine",
        f"max by (job) (max_over_time({probed(JOB, READY)}[{WINDOW}]))",
        "The shop can't serve customers",
        "/readyz hasn't answered with 200 WHEN: the shop takes no orders.",
    )
    return [
        # A target that isn't there has no value to compare.
        silent._replace(expression=f"{silent.expression}\nor\nabsent({own})"),
        ready._replace(name="not-ready"),
        _unreachable(),
    ]


def _unreachable() -> Alert:
    """What the gateway's failures are at AWS; an address answers or not, which has no percentage."""
    terms = as_on_aws.terms("gateway-errors")._replace(compared="<", threshold=1.0)
    figure = f"max by (job) (max_over_time({probed(JOB, PUBLIC)}[{WINDOW}]))"
    expression, holds_s = _rung(terms, figure)
    return Alert(
        name="unreachable",
        like="gateway-errors",
        expression=expression,
        holds_s=holds_s,
        summary="Customers don't reach the shop",
        description=_told("The shop's public address didn't answer as it should WHEN.", terms),
    )


def _of_watch() -> list[Alert]:
    """What AWS sees to by itself."""
    expiry = f'probe_ssl_earliest_cert_expiry{{job="{JOB}-{PUBLIC}"}}'
    return [
        Alert(
            name="certificate",
            like="",
            expression=f"(min by (instance) ({expiry}) - time()) / 86400 < {CERTIFICATE_DAYS}",
            holds_s=0,
            summary="The certificate runs out",
            description="The certificate of {{ $labels.instance }} should have been renewed; it "
            'is good for {{ printf "%.0f" $value }} days more.',
        ),
        Alert(
            name="blind",
            like="",
            expression=f'up{{job=~"{JOB}-.+"}} < 1',
            holds_s=300,
            summary="A part of the watch is blind",
            description="{{ $labels.job }} can't be read for {{ $labels.instance }}, so alerts "
            "that look at its figures can't ring.",
        ),
        Alert(
            name="backup-behind",
            like="",
            expression=f"max by (job) ({BACKUP_LAG}) > {BACKUP_LATE_S}",
            holds_s=300,
            summary="The continuous backup is behind",
            description="The newest moment that could be restored is "
            '{{ printf "%.0f" $value }} s old. The shop goes on; what it took since is on its own '
            "disk alone.",
            page="backup.md",
        ),
    ]


def _of_machine() -> list[Alert]:
    taken = '{{ printf "%.0f" $value }} %'
    return [
        _alert(
            "disk",
            f"max by (instance, mountpoint) (\n  {disk(JOB)}\n)",
            "A disk is nearly full",
            f"{{{{ $labels.mountpoint }}}} of {{{{ $labels.instance }}}} is {taken} full. When it "
            "is full, orders are refused.",
        ),
        _alert(
            "memory",
            f"max by (instance) (\n  {memory(JOB)}\n)",
            "Memory is nearly used up",
            f"{{{{ $labels.instance }}}} has had {taken} of its memory in use WHEN.",
        ),
    ]


def _no_orders() -> Alert:
    """CloudWatch learns what is usual; here it is the same hour of the weeks before.

    Two weeks of figures are enough, which Prometheus keeps where nobody says otherwise.
    """
    terms = as_on_aws.terms("no-orders")
    placed = f'{ORDERS}{{outcome="placed"}}[{duration(terms.period * terms.periods)}]'
    before = "\n  or\n".join(
        f"  label_replace(sum by (job) (increase({placed} offset {week}w)), "
        f'"week", "{week}", "", "") >= {USUAL_ORDERS}'
        for week in WEEKS
    )
    return Alert(
        name="no-orders",
        like="no-orders",
        expression=f"sum by (job) (increase({placed})) == 0\nand on (job)\n"
        f"count by (job) (\n{before}\n) >= {WEEKS_NEEDED}",
        holds_s=0,
        summary="Nobody orders",
        description="No order was placed within an hour in which there were "
        f"{USUAL_ORDERS} or more in {WEEKS_NEEDED} of the last {len(WEEKS)} weeks.",
    )
