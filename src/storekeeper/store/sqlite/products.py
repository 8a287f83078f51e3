"""Writing products: the row, its stock total, its tags and its words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unicodedata import normalize

import apsw

from storekeeper.domain.catalog import Product
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.rows import insert, scalar


def write_products(
    connection: apsw.Connection,
    products: Iterable[Product],
    gone: Iterable[str],
    pks: dict[str, int],
) -> None:
    """Keeps `products`, makes `gone` ones tombstones (their ledger stays), completes `pks`."""
    next_pk = scalar(connection, "SELECT coalesce(max(pk), 0) + 1 FROM product")
    new: list[tuple[Any, ...]] = []
    totals: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    tags: list[tuple[str, int]] = []
    old_pks: list[tuple[int]] = []
    texts: list[tuple[int, Product]] = []
    for product in products:
        pk = pks.get(product.id)
        if pk is None:
            pk = pks[product.id] = next_pk
            next_pk += 1
            new.append((pk, *_row(product), product.id))
            totals.append((pk,))
        else:
            old_pks.append((pk,))
            changed.append((*_row(product), product.id))
        tags.extend((tag.casefold(), pk) for tag in dict.fromkeys(product.tags))
        texts.append((pk, product))
    if changed:
        connection.executemany("DELETE FROM product_tag WHERE product_pk = ?", old_pks)
        connection.executemany("DELETE FROM product_text WHERE rowid = ?", old_pks)
        connection.executemany(
            "UPDATE product SET version = ?, sku = ?, name_key = ?, price = ?, category = ?, "
            "status = ?, tracked = ?, parent_id = ?, created_at = ?, doc = ? WHERE id = ?",
            changed,
        )
    insert(
        connection,
        "INSERT INTO product (pk, version, sku, name_key, price, category, status, tracked, "
        "parent_id, created_at, doc, id)",
        new,
    )
    # The total's rule is written with the stock, where admission decided on it.
    insert(
        connection,
        "INSERT INTO total (product_pk, on_hand, reserved, is_low, backorder)",
        [(pk, 0, 0, 0, 0) for (pk,) in totals],
    )
    insert(connection, "INSERT OR IGNORE INTO product_tag (tag, product_pk)", tags)
    index_words(connection, texts)
    for id in gone:
        connection.execute("DELETE FROM product_tag WHERE product_pk = ?", (pks[id],))
        connection.execute("DELETE FROM product_text WHERE rowid = ?", (pks[id],))
        connection.execute(
            "UPDATE product SET version = 0, status = 'deleted', doc = '', parent_id = NULL, "
            "category = NULL WHERE pk = ?",
            (pks[id],),
        )
        connection.execute(
            "UPDATE total SET is_low = 0, threshold = NULL WHERE product_pk = ?", (pks[id],)
        )


def index_words(connection: apsw.Connection, products: Iterable[tuple[Any, Product]]) -> None:
    """Makes products, each with its row's key, findable by their words."""
    words: list[tuple[Any, ...]] = []
    for pk, product in products:
        texts = _texts(product)
        # Composed as what is searched for is, so that one letter is one whoever typed it.
        if not "".join(texts).isascii():
            texts = tuple([normalize("NFC", text) for text in texts])
        words.append((pk, *texts))
    insert(
        connection,
        "INSERT INTO product_text (rowid, name, sku, description, category, tags)",
        words,
    )


def _texts(product: Product) -> tuple[str, ...]:
    return (
        product.name,
        product.sku,
        product.description,
        product.category or "",
        " ".join(product.tags),
    )


def _row(product: Product) -> tuple[Any, ...]:
    return (
        product.version,
        product.sku,
        product.name.casefold(),
        product.price.amount,
        product.category.casefold() if product.category else None,
        product.status,
        int(product.track_stock),
        product.parent_id,
        kinds.micros(product.created_at),
        kinds.encode(product),
    )
