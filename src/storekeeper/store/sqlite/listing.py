"""Listing the catalogue: filters, sort orders and full text, a page at a time."""

from __future__ import annotations

import re
import unicodedata
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
_ACCENTS = re.compile("[\u0300-\u036f]")
# Jumps from one category to the next in the index, however many products each has.
_CATEGORIES = """
WITH RECURSIVE found (category) AS (
    SELECT min(category) FROM product WHERE category > ?1
    UNION ALL
    SELECT (SELECT min(category) FROM product WHERE category > found.category)
      FROM found WHERE found.category IS NOT NULL
)
SELECT f.category, (SELECT p.doc ->> 'category' FROM product p
                     WHERE p.category = f.category AND p.status = 'active'
                     ORDER BY p.name_key, p.pk LIMIT 1) AS shown
  FROM found f WHERE f.category IS NOT NULL AND shown IS NOT NULL LIMIT ?2
"""


RARE = 2_000


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
        category = query.category.casefold()
        also("p.category = ?", category)
        if source == "product p" and _is_rare(reader, "product WHERE category = ?", category):
            source = "product p INDEXED BY product_category"
    if query.tag is not None:
        tag = query.tag.casefold()
        if source == "product p" and _is_rare(reader, "product_tag WHERE tag = ?", tag):
            source = "product_tag g CROSS JOIN product p ON p.pk = g.product_pk"
            also("g.tag = ?", tag)
        else:
            also(
                "EXISTS (SELECT 1 FROM product_tag g WHERE g.tag = ? AND g.product_pk = p.pk)", tag
            )
    if query.min_price is not None:
        also("p.price >= ?", query.min_price)
    if query.max_price is not None:
        also("p.price <= ?", query.max_price)
    if query.parent_id is not None:
        also("p.parent_id = ?", query.parent_id)
        if source == "product p":
            source = "product p INDEXED BY product_parent"
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


def is_quick(query: ProductQuery) -> bool:
    """Whether a page is read off an index; other questions may have to look at many products."""
    return not query.words.strip() and query.in_stock is None and query.tag is None


def _is_rare(reader: Reader, source: str, value: str) -> bool:
    """Few enough to be sorted; the walk in sort order would pass all the others by."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {RARE + 1})"
    return int(reader.rows(sql, (value,))[0][0]) <= RARE


def list_categories(reader: Reader, limit: int, after: str | None) -> Page[str]:
    """Categories of active products, each once, by their folded names."""
    start = cursor.decode(after, "categories", str)[0] if after else ""
    rows = reader.rows(_CATEGORIES, (start, limit + 1))
    shown = rows[:limit]
    return Page(
        items=tuple(row[1] for row in shown),
        next=cursor.encode("categories", shown[-1][0]) if len(rows) > limit else None,
    )


def match_expression(words: str) -> str:
    """What a person typed, as an FTS5 expression: every word must occur, the last may go on.

    Punctuation only parts words, as it does in the index; accents don't count.
    """
    composed = unicodedata.normalize("NFC", words)
    found = _WORD.findall(_ACCENTS.sub("", composed))[:16]
    if not found:
        raise Invalid("there is no word to search for", field="q")
    return " AND ".join([f'"{word}"' for word in found[:-1]] + [f'"{found[-1]}"*'])
