"""The dashboard for Grafana shows what the one at AWS shows, of figures that the shop really has."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.single.grafana import dashboard as grafana
from deploy.single.prometheus import as_on_aws
from deploy.single.prometheus.alerts import all_alerts
from storekeeper.store.sqlite.streaming import state
from storekeeper.store.sqlite.streaming.state import State
from tests.api.shopfront import front_at, seed_shop
from tests.deploy.promtool import judged
from tests.support.processes import ROOT

FILE = ROOT / "deploy" / "single" / "grafana" / "storekeeper.json"
# What Prometheus and its exporters for machines and addresses have, by name with labels; looked up
# on Debian's, as they don't run here.
ELSEWHERE = {
    "up": set[str](),
    "probe_success": set[str](),
    "probe_ssl_earliest_cert_expiry": set[str](),
    "node_cpu_seconds_total": {"cpu", "mode"},
    "node_filesystem_avail_bytes": {"device", "fstype", "mountpoint"},
    "node_filesystem_free_bytes": {"device", "fstype", "mountpoint"},
    "node_filesystem_size_bytes": {"device", "fstype", "mountpoint"},
    "node_memory_MemAvailable_bytes": set[str](),
    "node_memory_MemTotal_bytes": set[str](),
}
# Put there by Prometheus itself.
OF_PROMETHEUS = {"job", "instance"}
_SELECTED = re.compile(r"\b((?:storekeeper|node|probe)_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


class Selector(NamedTuple):
    """`wanted`: a pattern for each label that is named."""

    name: str
    wanted: dict[str, str]

    def finds(self, labels: dict[str, str]) -> bool:
        return all(
            re.fullmatch(pattern, labels.get(name, ""))
            for name, pattern in self.wanted.items()
            if name not in OF_PROMETHEUS
        )


def selectors(expression: str) -> Iterator[Selector]:
    for name, matchers in _SELECTED.findall(expression):
        found = _MATCHER.findall(matchers)
        yield Selector(
            name,
            {label: value if how == "=~" else re.escape(value) for label, how, value in found},
        )


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text())["panels"]
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.fixture
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Labels of all series of a shop in use, by name; its shared cache is away, and a backup of it is
    streamed."""

    async def read() -> str:
        folder = tmp_path_factory.mktemp("shop")
        async with front_at(folder, seed, cache_url="redis://127.0.0.1:9") as front:
            await front.placed("ada", ("MUG", 1))
            assert (await front.http.get("/products/none")).status_code == 404
            streamed = State(database="one", safe_until=datetime.now(UTC))
            state.write(folder / "shop.db", streamed)
            # Requests are counted when they have been answered.
            return (await front.http.get("/metrics")).text

    seed = seed_shop(tmp_path_factory.mktemp("seed"))
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(asyncio.run(read())):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_the_file_is_what_its_definition_makes() -> None:
    assert FILE.read_text() == grafana.text()


def test_each_line_of_the_dashboard_at_aws_is_drawn_or_has_a_reason() -> None:
    drawn = {panel["title"]: panel["targets"] for panel in panels()}
    used = set()
    for graph in as_on_aws.graphs():
        kept = [line for line in graph.lines if not grafana.reason(line)]
        assert [one["expr"] for one in drawn.pop(graph.title, [])] == [
            grafana.query(line).expression for line in kept
        ], graph.title
        used |= {grafana.reason(line) for line in graph.lines} - {""}
    assert not drawn, "not at AWS"
    assert used == set(grafana.LEFT_OUT.values()), "a reason for nothing"


@pytest.mark.parametrize("title", ["Requests", "Orders", "Errors", "Deliveries", "Cache away"])
def test_what_matters_of_the_shop_is_shown(title: str) -> None:
    assert title in [panel["title"] for panel in panels()]


def test_panels_and_alerts_look_at_series_that_the_shop_has(
    exported: dict[str, list[dict[str, str]]],
) -> None:
    for texts in (expressions(), [one.expression for one in all_alerts()]):
        assert len(looked_at(texts, exported)) > 10


def looked_at(texts: list[str], exported: dict[str, list[dict[str, str]]]) -> set[str]:
    """Names in these expressions, each of which is there under the labels that it asks for."""
    names = set()
    for selector in (one for text in texts for one in selectors(text)):
        names.add(selector.name)
        if selector.name in ELSEWHERE:
            assert selector.wanted.keys() <= ELSEWHERE[selector.name] | OF_PROMETHEUS, selector
        else:
            series = exported.get(selector.name, [])
            assert any(selector.finds(labels) for labels in series), selector
    return names


def test_prometheus_understands_each_question(tmp_path: Path) -> None:
    asked = [
        {
            "record": f"panel:{number}",
            "expr": one.replace("$job", "storekeeper").replace("$__rate_interval", "1m"),
        }
        for number, one in enumerate(expressions())
    ]
    assert not [one for one in asked if "$" in one["expr"]], "a variable that nobody sets"
    file = tmp_path / "panels.json"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": asked}]}))
    assert f"{len(asked)} rules found" in judged("promtool", "check", "rules", str(file))


def test_panels_have_ids_of_their_own_and_room() -> None:
    found = panels()
    assert len({one["id"] for one in found}) == len(found)
    for one in found:
        place = one["gridPos"]
        assert place["x"] >= 0 <= place["y"]
        assert place["x"] + place["w"] <= 24, one["title"]
    for one, other in combinations(found, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for one in found:
        letters = [target["refId"] for target in one["targets"]]
        assert len(set(letters)) == len(letters) > 0


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def test_whose_prometheus_and_which_shop_is_chosen_in_grafana() -> None:
    body = json.loads(FILE.read_text())
    variables = {one["name"]: one for one in body["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["job"]["query"]["query"] == "label_values(storekeeper_http_faults_total, job)"
    sources = {
        one["datasource"]["uid"]
        for panel in body["panels"]
        for one in (panel, *panel["targets"], variables["job"])
    }
    assert sources == {"${datasource}"}
