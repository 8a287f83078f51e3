"""What an operator is told that a shop costs rests on what was measured."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import pytest

from deploy.aws import costs
from deploy.aws.assembly import stacks
from deploy.aws.costs import ORDERS_A_MINUTE, PRICES, machines_at, monthly, units
from deploy.aws.plan import lines
from deploy.aws.settings import SIZES, read
from tests.deploy.test_settings import GOOD, MAIL
from tests.support.processes import ROOT

MEASURED = (ROOT / "docs" / "benchmarks.md").read_text()


def test_units_are_those_of_the_benchmark() -> None:
    of_order = re.search(
        r"all work of the node, tables for other programs kept \| ([\d.]+) write, ([\d.]+) read",
        MEASURED,
    )
    leading = re.search(r"the first, which leads \| ([\d,]+) write, ([\d,]+) read", MEASURED)
    further = re.search(r"a further one \| ([\d,]+) write, ([\d,]+) read", MEASURED)
    assert of_order is not None
    assert (float(of_order[1]) + 2, float(of_order[2])) == (
        costs.WRITES_OF_ORDER,
        costs.READS_OF_ORDER,
    )
    for found, used in ((leading, costs.IDLE_LEADER), (further, costs.IDLE_FURTHER)):
        assert found is not None
        assert tuple(int(one.replace(",", "")) for one in found.groups()) == used


def test_an_idle_shop_pays_for_following_the_log_alone() -> None:
    writes, reads = units(0, machines=1)
    assert writes == 1_080 * 730
    assert reads == 8_640 * 730
    assert units(0, machines=2)[1] - reads == 3_240 * 730


@pytest.mark.parametrize("size", SIZES)
def test_more_business_costs_more_and_a_thousandth_less_each(size: str) -> None:
    given = read({**GOOD, "size": size, "cache": True})
    idle, some, many = (sum(one.dollars for one in monthly(given, n)) for n in ORDERS_A_MINUTE)
    assert 50 < idle < some < many
    assert many / 1_000 < some / 10


def test_mail_by_ses_costs_an_endpoint() -> None:
    def idle(values: dict[str, object]) -> float:
        return sum(one.dollars for one in monthly(read(values), 0))

    prices = tomllib.loads(PRICES.read_text())
    more = idle({**GOOD, **MAIL, "region": "eu-west-1"}) - idle({**GOOD, "region": "eu-west-1"})
    endpoint = prices["network"]["endpoint_hour"] * prices["hours"]
    factor = costs.factor_of(read(GOOD), prices)
    assert more == pytest.approx(factor * endpoint)


def test_prices_name_their_day_and_their_source() -> None:
    prices = tomllib.loads(PRICES.read_text())
    assert isinstance(prices["as_of"], dt.date)
    assert prices["source"]
    assert {size.instance for size in SIZES.values()} == prices["machine"].keys()


def test_a_region_without_prices_is_reckoned_dear() -> None:
    prices = tomllib.loads(PRICES.read_text())
    far = read({**GOOD, "region": "sa-east-1"})
    assert costs.factor_of(far, prices) == max(prices["factor"].values())


@pytest.mark.parametrize(
    ("region", "told"),
    [
        (
            "sa-east-1",
            "sa-east-1 isn't in prices.toml: reckoned as eu-central-1, the dearest there",
        ),
        ("eu-north-1", ""),
    ],
)
def test_whoever_is_elsewhere_is_told_that_prices_are_another_regions(
    region: str, told: str
) -> None:
    """Else the sum looks as good as any, and the bill may be half as much again."""
    text = list(lines(read({**GOOD, "region": region}), []))
    found = [line for line in text if " isn't in prices.toml" in line]
    assert len(found) == bool(told)
    assert all(line.startswith(told) for line in found)


@pytest.mark.parametrize("size", SIZES)
def test_machines_that_cost_more_when_they_are_busy_are_named(size: str) -> None:
    """At half of its processors, where scaling begins, a t4g.small costs more than twice its price."""
    text = list(lines(read({**GOOD, "size": size}), []))
    told = [line for line in text if "surplus CPU credits" in line]
    burstable = SIZES[size].instance.startswith("t")
    assert len(told) == burstable
    if burstable:
        assert "t4g.small that is busier than 20 % over a day costs $0.04 more" in told[0]


def test_machines_stay_within_their_size() -> None:
    given = read(GOOD)
    assert machines_at(given, 0) == given.machines.least
    assert machines_at(given, 10**6) == given.machines.most


def test_the_plan_names_each_stack_and_three_sums(assemblies: Path) -> None:
    found = stacks(assemblies / "full")
    text = list(lines(read({**GOOD, "name": "full"}), found))
    # Nothing else would say so before a customer waits for a confirmation.
    assert [line for line in text if line.startswith("It sends no mail")]
    with_mail = lines(read({**GOOD, **MAIL, "name": "full"}), [])
    assert not [line for line in with_mail if line.startswith("It sends no mail")]
    for stack in found:
        assert [line for line in text if line.strip().startswith(stack.name)]
    (sums,) = (line for line in text if line.strip().startswith("together"))
    assert len(sums.split()) == 4
    assert any("4 Table" in line for line in text)
