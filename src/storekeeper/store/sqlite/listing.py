"""Listing the catalogue: filters, sort orders and full text, a page at a time."""

from __future__ import annotations

import re
from typing import Any

from storekeeper.domain.errors import Invalid
from storekeeper.store.port import Listed, Page, ProductQuery
from storekeeper.store.sqlite import cursor
from storekeeper.store.sqlite.reader import Reader, listed_of

_SORTS: dict[str, tuple[str, str, type[Any]]] = {
    "name": ("p.name_key", "ASC", str),
    "-name": ("p.name_key", "DESC", str),
    "price": ("p.price", "ASC", int),
    "-price": ("p.price", "DESC", int),
    "created": ("p.created_at", "ASC", int),
    "-created": ("p.created_at", "DESC", int),
    "relevance": ("f.rank", "ASC", float),
}
_WORD = re.compile(r"\w+", re.UNICODE)


def list_products(reader: Reader, query: ProductQuery) -> Page[Listed]:
    """One page; raises `Invalid` for a cursor of another list or a search without words."""
    words = match_expression(query.words) if query.words.strip() else None
    sort = query.sort if query.sort != "relevance" or words else "name"
    key, direction, key_type = _SORTS[sort]
    where: list[str] = []
    bindings: list[Any] = []

    def also(condition: str, *values: Any) -> None:
        where.append(condition)
        bindings.extend(values)

    source = "product p"
    if words and sort == "relevance":
        source = "product_text f CROSS JOIN product p ON p.pk = f.rowid"
        # A match in the name or SKU counts for more than one in the description.
        also("f.product_text MATCH ? AND f.rank MATCH 'bm25(8.0, 10.0, 1.0, 3.0, 3.0)'", words)
    elif words:
        also("p.pk IN (SELECT rowid FROM product_text WHERE product_text MATCH ?)", words)
    if query.status is None:
        also("p.status <> 'deleted'")
    else:
        also("p.status = ?", query.status)
    if query.category is not None:
        also("p.category = ?", query.category.casefold())
    if query.tag is not None:
        also(
            "EXISTS (SELECT 1 FROM product_tag g WHERE g.tag = ? AND g.product_pk = p.pk)",
            query.tag.casefold(),
        )
    if query.min_price is not None:
        also("p.price >= ?", query.min_price)
    if query.max_price is not None:
        also("p.price <= ?", query.max_price)
    if query.parent_id is not None:
        also("p.parent_id = ?", query.parent_id)
    if query.in_stock is not None:
        wanted = "" if query.in_stock else "NOT "
        also(f"{wanted}(t.on_hand > t.reserved OR t.backorder = 1 OR p.tracked = 0)")
    if query.cursor:
        compare = ">" if direction == "ASC" else "<"
        also(f"({key}, p.pk) {compare} (?, ?)", *cursor.decode(query.cursor, sort, key_type, int))
    rows = reader.rows(
        "SELECT p.doc, p.pk, t.on_hand, t.reserved, t.threshold, t.is_low, t.backorder, "
        f"{key} FROM {source} JOIN total t ON t.product_pk = p.pk "
        f"WHERE {' AND '.join(where)} ORDER BY {key} {direction}, p.pk {direction} LIMIT ?",
        (*bindings, query.limit + 1),
    )
    shown = rows[: query.limit]
    return Page(
        items=tuple(listed_of(row) for row in shown),
        next=cursor.encode(sort, shown[-1][7], shown[-1][1]) if len(rows) > query.limit else None,
    )


def match_expression(words: str) -> str:
    """What a person typed, as an FTS5 expression: every word must occur, the last may go on."""
    found = _WORD.findall(words)[:16]
    if not found:
        raise Invalid("there is no word to search for", field="q")
    return " AND ".join([f'"{word}"' for word in found[:-1]] + [f'"{found[-1]}"*'])
