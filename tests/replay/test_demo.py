"""A first look shows a living shop: real names, customers who come back, most things in stock."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files

import pytest

from storekeeper.demo import SAMPLE, open_sample
from storekeeper.demo.naming import CATEGORIES, OTHER_CATEGORY, category, display_name
from storekeeper.demo.stocking import low_stock_threshold, spare_units
from storekeeper.replay.catalogue import catalogue_of
from storekeeper.replay.figures import figures_of
from storekeeper.replay.happenings import Return, Sale
from storekeeper.replay.matching import ReturnMatcher
from storekeeper.replay.opening import opening_stock
from storekeeper.replay.plan import plan
from storekeeper.replay.source import rows_from


@pytest.fixture(scope="module")
def rows():
    with open_sample() as stream:
        return list(rows_from(stream))


def test_the_package_stays_small_and_names_the_source_of_its_data():
    assert len(files("storekeeper.demo").joinpath(SAMPLE).read_bytes()) < 150_000
    attribution = files("storekeeper.demo").joinpath("ATTRIBUTION.md").read_text("utf-8")
    assert "10.24432/C5BW33" in attribution
    assert "CC BY 4.0" in attribution


def test_the_sample_is_a_few_hundred_products_and_a_few_thousand_lines(rows):
    products = catalogue_of(rows)
    assert 250 <= len(products) <= 350
    assert 2_500 <= len(rows) <= 3_500
    assert all(product.price_pence and product.name != product.sku for product in products)


def test_every_month_has_sales_so_that_no_chart_is_empty(rows):
    months = figures_of(rows, opening_stock(plan(rows))).months
    assert len(months) == 9
    assert min(month.sale_orders for month in months.values()) >= 20


def test_customers_come_back_guests_buy_and_some_goods_are_returned_to_their_order(rows):
    happenings = list(plan(rows))
    sales = [happening for happening in happenings if isinstance(happening, Sale)]
    per_customer = Counter(sale.customer_id for sale in sales)
    assert per_customer[None] >= 50
    assert sum(orders > 1 for orders in per_customer.values()) >= 50
    matcher = ReturnMatcher()
    leftover = 0
    units = 0
    for happening in happenings:
        if isinstance(happening, Sale):
            matcher.record(happening)
        if isinstance(happening, Return):
            for line, match in matcher.settle(happening):
                units += line.quantity
                leftover += match.leftover
    assert units >= 100
    assert leftover <= units // 10


def test_categories_share_the_products_out_so_that_filters_are_of_use(rows):
    per_category = Counter(category(product.name) for product in catalogue_of(rows))
    assert len(per_category) >= 12
    assert per_category[OTHER_CATEGORY] <= 30


def test_most_products_are_in_stock_some_run_low_and_a_few_are_sold_out(rows):
    sold = Counter[str]()
    for row in rows:
        sold[row.stock_code.upper()] += max(row.quantity, 0)
    spare = {sku: spare_units(sku, units) for sku, units in sold.items()}
    out = sum(units == 0 for units in spare.values())
    low = sum(0 < units <= low_stock_threshold(sold[sku]) for sku, units in spare.items())
    assert 1 <= out <= len(spare) // 20
    assert 5 <= low <= len(spare) // 5


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "White Hanging Heart T-Light Holder"),
        ("SET/6 RED SPOTTY PAPER PLATES", "Set of 6 Red Spotty Paper Plates"),
        ("ROUND SNACK BOXES SET OF4 WOODLAND ", "Round Snack Boxes Set of 4 Woodland"),
        ("POPPY'S PLAYHOUSE BEDROOM", "Poppy's Playhouse Bedroom"),
        ("KEY FOB , BACK DOOR ", "Key Fob, Back Door"),
        ("GIN + TONIC DIET METAL SIGN", "Gin and Tonic Diet Metal Sign"),
        ('RETRO "TEA FOR ONE"', 'Retro "Tea for One"'),
        ("DOORMAT KEEP CALM AND COME IN", "Doormat Keep Calm and Come In"),
        ("SPACEBOY TV DINNER TRAY", "Spaceboy TV Dinner Tray"),
        ("BAG 125g SWIRLY MARBLES", "Bag 125g Swirly Marbles"),
        ("GREEN GOOSE FEATHER TREE 60CM", "Green Goose Feather Tree 60cm"),
        ("PAPER CHAIN KIT 50'S CHRISTMAS ", "Paper Chain Kit 50's Christmas"),
        ("BLACK/BLUE POLKADOT UMBRELLA", "Black/Blue Polkadot Umbrella"),
        ("WORLD WAR 2 GLIDERS ASSTD DESIGNS", "World War 2 Gliders Assorted Designs"),
        ("*USB Office Mirror Ball", "USB Office Mirror Ball"),
        ("3D SHEET OF CAT STICKERS", "3D Sheet of Cat Stickers"),
        ("*", "*"),
    ],
)
def test_a_name_reads_as_a_shop_would_write_it(description, name):
    assert display_name(description) == name


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("JUMBO BAG RED RETROSPOT", "Bags & travel"),
        ("WHITE HANGING HEART T-LIGHT HOLDER", "Candles & lights"),
        ("SET OF 6 SPICE TINS PANTRY DESIGN", "Kitchen & dining"),
        ("PAPER CHAIN KIT 50'S CHRISTMAS", "Christmas"),
        ("BATHROOM METAL SIGN", "Signs & doormats"),
        ("CHOCOLATE HOT WATER BOTTLE", "Bath & wellbeing"),
        ("FRENCH CARRIAGE LANTERN", "Candles & lights"),
        ("POSTAGE", "Carriage & services"),
        ("RATTLE SNAKE EGGS", OTHER_CATEGORY),
    ],
)
def test_a_product_is_found_under_the_category_where_it_is_looked_for(description, expected):
    assert category(description) == expected


def test_categories_have_distinct_names():
    names = [name for name, _ in CATEGORIES]
    assert len({*names, OTHER_CATEGORY}) == len(names) + 1
