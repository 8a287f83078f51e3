"""What would be made and what it costs, for people to read before they pay for it."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.aws.assembly import Made
from deploy.aws.costs import (
    KEPT_MONTHS,
    ORDERS_A_MINUTE,
    PRICES,
    REQUESTS_OF_ORDER,
    machines_at,
    monthly,
    priced_as,
)
from deploy.aws.settings import Environment, of_an_example

_SIZES = {0: "idle", 10: "10 orders/min", 1_000: "1,000 orders/min"}


def lines(given: Environment, found: Sequence[Made]) -> Iterator[str]:
    """All of it."""
    yield f"{given.name}: {given.domain} in {given.region}, size {given.size}"
    if example := of_an_example(given):
        yield (
            f"{example[0]}: {example[1]} is an example's: put yours into the environment's file "
            "before you deploy."
        )
    if given.mail is None:
        yield "It sends no mail: no confirmations, no links for new passwords. Set mail_from and [mail]."
    yield ""
    yield from _made(found)
    yield ""
    yield from _cost(given)


def _made(found: Sequence[Made]) -> Iterator[str]:
    total = sum(len(one.resources) for one in found)
    yield f"{len(found)} stacks with {total} resources, in this order:"
    for stack in found:
        kinds = Counter(one["Type"].rpartition("::")[2] for one in stack.resources.values())
        told = ", ".join(
            kind if number == 1 else f"{number} {kind}" for kind, number in sorted(kinds.items())
        )
        yield f"  {stack.name:<38} {told}"


def _cost(given: Environment) -> Iterator[str]:
    columns = [monthly(given, orders) for orders in ORDERS_A_MINUTE]
    yield f"  {'dollars a month':<32}" + "".join(f"{_SIZES[one]:>18}" for one in ORDERS_A_MINUTE)
    for row in zip(*columns, strict=True):
        yield f"  {row[0].what:<32}" + "".join(f"{cost.dollars:>18,.2f}" for cost in row)
    sums = [sum(cost.dollars for cost in column) for column in columns]
    yield f"  {'together':<32}" + "".join(f"{one:>18,.2f}" for one in sums)
    running = [machines_at(given, orders) for orders in ORDERS_A_MINUTE]
    yield f"  {'machines':<32}" + "".join(f"{one:>18}" for one in running)
    prices = tomllib.loads(PRICES.read_text())
    yield ""
    yield f"Prices of {prices['as_of']} ({PRICES.name}): {prices['source']}."
    yield f"Storage is that of a shop of {KEPT_MONTHS} months; {REQUESTS_OF_ORDER} requests for an order."
    yield from _unknown(given, prices)
    yield "Without tax, support, outgoing mail, data that was there before, and free tiers."


def _unknown(given: Environment, prices: Mapping[str, Any]) -> Iterator[str]:
    """What may make the sums wrong for this environment."""
    if (dear := priced_as(given, prices)) != given.region:
        factor = prices["factor"][dear]
        yield (
            f"{given.region} isn't in {PRICES.name}: reckoned as {dear}, the dearest there ({factor:g} "
            "of us-east-1); it may cost more. Put the region's factor into the file."
        )
    kind, surplus = given.machines.instance, prices["surplus"]
    if free := surplus["free_percent"].get(kind):
        yield (
            f"Without surplus CPU credits: a {kind} that is busier than {free} % over a day costs "
            f"${surplus['vcpu_hour']:.2f} more for each vCPU and hour above (unlimited mode)."
        )
