"""Listing the catalogue: filters, sort orders and full text, a page at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from storekeeper.domain.errors import Invalid
from storekeeper.store.port import Listed, Page, ProductQuery
from storekeeper.store.sqlite import cursor
from storekeeper.store.sqlite.reader import A_VARIANT_SELLS, SELLS, Reader

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
# A tombstone has no document. A parent has no units; its variants are looked at by their index.
_IN_STOCK = f"""
(CASE WHEN {SELLS.format(product="p", total="t")}
       AND NOT (p.tracked = 0 AND nullif(p.doc, '') ->> 'is_parent' IS 1)
      THEN 1 ELSE p.parent_id IS NULL AND {A_VARIANT_SELLS.format(parent="p.id")} END)
"""
# Written out, so that it is read off the index of those alone.
_LOW = "SELECT product_pk FROM total WHERE is_low = 1"
_SHOWN = "SELECT p.doc, p.pk, t.on_hand, t.reserved, t.threshold, t.is_low, t.backorder"
RARE = 2_000
# Ranking takes some 5 µs for each product that has the words, more of them are put in tiers.
COMMON = 2_000


def list_products(reader: Reader, query: ProductQuery) -> Page[Listed]:
    """One page; raises `Invalid` for a cursor of another list or a search without words."""
    found = _words_of(query.words) if query.words.strip() else []
    sort = query.sort if query.sort != "relevance" or found else "name"
    key, direction, key_type = _SORTS[sort]
    after = cursor.decode(query.cursor, sort, key_type, int) if query.cursor else None
    with reader.at_one_moment():
        if sort != "relevance":
            selection = _selection(reader, query, _all_of(found) if found else "")
            rows = selection.rows(reader, key, direction, after, query.limit + 1)
        elif _are_common(reader, found, after):
            rows = _in_tiers(reader, query, found, after)
        else:
            selection = _ranked(query)
            # A match in the name or SKU counts for more than one in the description.
            rank = "f.product_text MATCH ? AND f.rank MATCH 'bm25(8.0, 10.0, 1.0, 3.0, 3.0)'"
            selection.also(rank, _all_of(found))
            rows = selection.rows(reader, key, direction, after, query.limit + 1)
        shown = rows[: query.limit]
        items = tuple(reader.with_variants(shown))
    return Page(
        items=items,
        next=cursor.encode(sort, shown[-1][7], shown[-1][1]) if len(rows) > query.limit else None,
    )


class _Selection:
    """Which rows of which tables; mutable while a question is put together."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._where: list[str] = []
        self._bindings: list[Any] = []

    def also(self, condition: str, *values: Any) -> None:
        self._where.append(condition)
        self._bindings.extend(values)

    def rows(
        self, reader: Reader, key: str, direction: str, after: Sequence[Any] | None, limit: int
    ) -> list[Any]:
        """What a page shows of each product, with its key, in the order of keys past `after`."""
        where, bindings = [*self._where], [*self._bindings]
        if after is not None:
            where.append(f"({key}, p.pk) {'>' if direction == 'ASC' else '<'} (?, ?)")
            bindings.extend(after)
        sql = (
            f"{_SHOWN}, {key} FROM {self.source} JOIN total t ON t.product_pk = p.pk "
            f"WHERE {' AND '.join(where)} ORDER BY {key} {direction}, p.pk {direction} LIMIT ?"
        )
        return reader.rows(sql, (*bindings, limit))

    def rows_of_tier(self, reader: Reader, tier: int, after: int, limit: int) -> list[Any]:
        """As `rows`, in the order of the words' index, which is that of the products' making."""
        sql = (
            f"{_SHOWN}, {tier}.0 FROM {self.source} JOIN total t ON t.product_pk = p.pk "
            f"WHERE {' AND '.join(self._where)} AND f.rowid > ? ORDER BY f.rowid LIMIT ?"
        )
        return reader.rows(sql, (*self._bindings, after, limit))


def _selection(reader: Reader, query: ProductQuery, words: str) -> _Selection:
    """What the query asks for, read off the index that serves it best."""
    source = "product p"
    tag = query.tag.casefold() if query.tag is not None else None
    category = query.category.casefold() if query.category is not None else None
    if category is not None and _is_rare(reader, "product WHERE category = ?", category):
        source = "product p INDEXED BY product_category"
    if (
        tag is not None
        and source == "product p"
        and _is_rare(reader, "product_tag WHERE tag = ?", tag)
    ):
        source = "product_tag g CROSS JOIN product p ON p.pk = g.product_pk"
    if query.parent_id is not None and source == "product p":
        source = "product p INDEXED BY product_parent"
    if query.is_low and source == "product p" and _is_rare(reader, f"({_LOW})"):
        source = f"({_LOW}) l CROSS JOIN product p ON p.pk = l.product_pk"
    selection = _Selection(source)
    if words:
        matches = "SELECT rowid FROM product_text WHERE product_text MATCH ?"
        selection.also(f"p.pk IN ({matches})", words)
    _narrow(selection, query)
    return selection


def _ranked(query: ProductQuery) -> _Selection:
    """What the query asks for, read off the words' index; its words have still to be added."""
    selection = _Selection("product_text f CROSS JOIN product p ON p.pk = f.rowid")
    _narrow(selection, query)
    return selection


def _narrow(selection: _Selection, query: ProductQuery) -> None:
    also = selection.also
    if query.status is None:
        also("p.status <> 'deleted'")
    else:
        also("p.status = ?", query.status)
    if query.category is not None:
        also("p.category = ?", query.category.casefold())
    if query.tag is not None and selection.source.startswith("product_tag g"):
        also("g.tag = ?", query.tag.casefold())
    elif query.tag is not None:
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
        also(f"{'' if query.in_stock else 'NOT '}{_IN_STOCK}")
    if query.is_low is not None:
        # Those that are low have an index of their own.
        low = "SELECT product_pk FROM total WHERE is_low = 1"
        also(f"p.pk {'' if query.is_low else 'NOT '}IN ({low})")
    if query.location_id is not None:
        also(
            "EXISTS (SELECT 1 FROM stock s WHERE s.product_pk = p.pk AND s.location_id = ?)",
            query.location_id,
        )


def _are_common(reader: Reader, words: Sequence[str], after: Sequence[Any] | None) -> bool:
    """Whether too many products have the words to rank them; a list goes on as it began."""
    if after is not None:
        return float(after[0]) >= 0.0
    sql = "SELECT count(*) FROM (SELECT 1 FROM product_text WHERE product_text MATCH ? LIMIT ?)"
    return int(reader.rows(sql, (_all_of(words), COMMON + 1))[0][0]) > COMMON


def _in_tiers(
    reader: Reader, query: ProductQuery, words: Sequence[str], after: Sequence[Any] | None
) -> list[Any]:
    """A page of the many products that have the words: those with all of them in the name or SKU,
    then the others; each in the order of their making.

    Each product that is ranked costs, and which of thousands of matches is the better one says
    little. A tier is read off the index and left as soon as the page is full.
    """
    everywhere, named = _all_of(words), f"{{name sku}} : ({_all_of(words)})"
    tiers = (named, f"({everywhere}) NOT ({named})")
    first, pk = (int(after[0]), int(after[1])) if after is not None else (0, 0)
    rows: list[Any] = []
    for tier in range(first, len(tiers)):
        selection = _ranked(query)
        selection.also("f.product_text MATCH ?", tiers[tier])
        left = query.limit + 1 - len(rows)
        rows += selection.rows_of_tier(reader, tier, pk if tier == first else 0, left)
        if len(rows) > query.limit:
            break
    return rows


def is_quick(query: ProductQuery) -> bool:
    """Whether a page is read off an index; other questions may have to look at many products."""
    return (
        not query.words.strip()
        and query.in_stock is None
        and query.is_low is None
        and query.location_id is None
        and query.tag is None
    )


def _is_rare(reader: Reader, source: str, *values: str) -> bool:
    """Few enough to be sorted; the walk in sort order would pass all the others by."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {RARE + 1})"
    return int(reader.rows(sql, values)[0][0]) <= RARE


def list_categories(reader: Reader, limit: int, after: str | None) -> Page[str]:
    """Categories of active products, each once, by their folded names."""
    start = cursor.decode(after, "categories", str)[0] if after else ""
    rows = reader.rows(_CATEGORIES, (start, limit + 1))
    shown = rows[:limit]
    return Page(
        items=tuple(row[1] for row in shown),
        next=cursor.encode("categories", shown[-1][0]) if len(rows) > limit else None,
    )


def _words_of(text: str) -> list[str]:
    """The words of what a person typed. Punctuation only parts them, as it does in the index;
    accents don't count. Raises `Invalid` where there is none."""
    composed = unicodedata.normalize("NFC", text)
    found = _WORD.findall(_ACCENTS.sub("", composed))[:16]
    if not found:
        raise Invalid("there is no word to search for", field="q")
    return found


def _all_of(words: Sequence[str]) -> str:
    """As an FTS5 expression: every word must occur, the last may go on."""
    return " AND ".join([f'"{word}"' for word in words[:-1]] + [f'"{words[-1]}"*'])
