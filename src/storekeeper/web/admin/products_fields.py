"""A product as the text of a form's fields, and the text as a product again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from storekeeper.domain.catalog import Product, ProductDetails, details_of
from storekeeper.domain.errors import Invalid, NotFound, ShopError
from storekeeper.domain.money import MINOR_DIGITS, Money, from_decimal_text, to_decimal_text
from storekeeper.domain.types import MAX_QUANTITY
from storekeeper.services.validation import field_and_reason
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.shop.catalog import catalog_of
from storekeeper.web.visit import Visit

Texts = dict[str, str]
# In the order of the form. A check box that is set is "1".
FIELDS = (
    "sku",
    "name",
    "price",
    "currency",
    "category",
    "tags",
    "description",
    "status",
    "track_stock",
    "allow_backorder",
    "low_stock_threshold",
    "parent",
    "options",
    "attributes",
    "image_url",
)
# What a product is made with and keeps.
KIND = "is_parent"
CHECKS = ("track_stock", "allow_backorder", KIND)
SET = "1"
# Where the form has the field that a service names otherwise.
_PLACES = {"price.currency": "currency", "parent_id": "parent"}
_ROOT = re.compile(r"[.\[]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def texts_of(product: Product, parent_sku: str) -> Texts:
    """What the form of a product shows, as a browser sends it back when nothing was typed."""
    threshold = product.low_stock_threshold
    texts = {
        "sku": product.sku,
        "name": product.name,
        "price": to_decimal_text(product.price.amount, product.price.currency),
        "currency": product.price.currency,
        "category": product.category or "",
        "tags": ", ".join(product.tags),
        "description": product.description,
        "status": product.status,
        "track_stock": SET if product.track_stock else "",
        "allow_backorder": SET if product.allow_backorder else "",
        "low_stock_threshold": "" if threshold is None else str(threshold),
        "parent": parent_sku,
        "options": lines_of(product.options),
        "attributes": lines_of(product.attributes),
        "image_url": product.image_url or "",
    }
    told = {name: text.replace("\r\n", "\n").replace("\r", "\n") for name, text in texts.items()}
    return {name: text if name == "description" else text.strip() for name, text in told.items()}


def new_texts(currency: str, parent: Product | None = None, threshold: int | None = None) -> Texts:
    """An empty form with the shop's usual reorder point; of a variant, with what it has in common
    with its parent."""
    texts = dict.fromkeys((*FIELDS, KIND), "")
    texts["low_stock_threshold"] = "" if threshold is None else str(threshold)
    texts |= {"currency": currency, "status": "active", "track_stock": SET}
    if parent is not None:
        common = texts_of(parent, "")
        texts |= {name: common[name] for name in ("name", "price", "currency", "category", "tags")}
        texts["parent"] = parent.sku
    return texts


def typed(visit: Visit) -> Texts:
    """What came with the form: text without the spaces around it, and a line's end as one."""
    texts = {
        name: (visit.form.get(name, "") if name == "description" else visit.text(name))
        for name in (*FIELDS, KIND)
    }
    return texts | {"price": visit.language.untyped(texts["price"])}


async def parent_sku_of(visit: Visit, product: Product) -> str:
    if product.parent_id is None:
        return ""
    return (await catalog_of(visit).product(visit.principal, product.parent_id)).product.sku


async def read_details(
    visit: Visit, texts: Texts, errors: FormErrors, before: Product | None, shown: Texts
) -> ProductDetails | None:
    """The product that the form describes; None, with what is wrong noted, where it is none.

    A field that says what the form had shown keeps its value to the letter.
    """
    values: dict[str, Any] = {} if before is None else _values_of(before)
    changed = [name for name in texts if texts[name] != shown.get(name, "") or before is None]
    for name in changed:
        if name in ("sku", "name", "price") and not texts[name]:
            errors.add(name, visit.say("Please fill this in."))
    plain = {"sku", "name", "description", "status"}
    values |= {name: texts[name] for name in changed if name in plain}
    values |= {name: texts[name] or None for name in changed if name in ("category", "image_url")}
    values |= {name: texts[name] == SET for name in changed if name in CHECKS}
    if "tags" in changed:
        values["tags"] = tuple(tag.strip() for tag in texts["tags"].split(",") if tag.strip())
    if "price" in changed or "currency" in changed:
        values["price"] = _price(visit, texts, errors)
    if "low_stock_threshold" in changed:
        values["low_stock_threshold"] = _threshold(visit, texts["low_stock_threshold"], errors)
    for name in ("options", "attributes"):
        if name in changed:
            values[name] = _pairs(visit, texts[name], name, errors)
    if "parent" in changed:
        values["parent_id"] = await _parent_id(visit, texts["parent"], errors)
    return None if errors else _converted(values, errors)


def note(errors: FormErrors, error: ShopError) -> None:
    """Files a refusal under the field of the form that it is about."""
    errors.explain(error, _place(error.field))


def lines_of(pairs: Mapping[str, str]) -> str:
    r"""A line for each pair. A line's end in a value is written `\n`, a colon in a name `\:`."""
    return "\n".join(
        f"{_escaped(name).replace(':', chr(92) + ':')}: {_escaped(value)}"
        for name, value in pairs.items()
    )


def pairs_of(lines: str, say: Callable[[str], str] = str) -> dict[str, str]:
    """The pairs again; raises `Invalid` for a line without a colon, or a name that is there."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, lines.split("\n"))):
        colon = re.search(r"(?<!\\)(?:\\\\)*:", line)
        if colon is None:
            told = say("“%(line)s” has no colon; write name: value")
            raise Invalid(told % {"line": line[:50]})
        name = _unescaped(line[: colon.end() - 1].strip())
        if name in found:
            raise Invalid(say("“%(name)s” stands there twice") % {"name": name[:50]})
        found[name] = _unescaped(line[colon.end() :].strip())
    return found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def _values_of(product: Product) -> dict[str, Any]:
    details = details_of(product)
    return {name: getattr(details, name) for name in details.__struct_fields__}


def _price(visit: Visit, texts: Texts, errors: FormErrors) -> Money | None:
    currency = texts["currency"].upper()
    if currency not in MINOR_DIGITS:
        told = visit.say("“%(text)s” is no currency; type its code, such as EUR.")
        errors.add("currency", told % {"text": texts["currency"][:10]})
        return None
    try:
        amount = amount_of(visit, texts["price"], currency)
    except Invalid as error:
        errors.add("price", exactly(visit, error))
        return None
    return Money(amount=amount, currency=currency)


def amount_of(visit: Visit, text: str, currency: str) -> int:
    """Minor units, typed with a point or a comma. Raises `Invalid`, also for less than nothing."""
    amount = from_decimal_text(text.strip().replace(",", "."), currency)
    if amount < 0:
        raise Invalid(visit.say("a price can't be less than nothing"), field="price")
    return amount


def _threshold(visit: Visit, text: str, errors: FormErrors) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and int(text) <= MAX_QUANTITY):
        errors.add(
            "low_stock_threshold",
            visit.say("Type a whole number from 0 to %(most)s, or nothing.")
            % {"most": visit.language.number(MAX_QUANTITY)},
        )
        return None
    return int(text)


def _pairs(visit: Visit, text: str, field: str, errors: FormErrors) -> dict[str, str]:
    try:
        return pairs_of(text, visit.say)
    except Invalid as error:
        errors.add(field, error.detail)
        return {}


async def _parent_id(visit: Visit, sku: str, errors: FormErrors) -> str | None:
    if not sku:
        return None
    try:
        return (await catalog_of(visit).by_sku(visit.principal, sku)).product.id
    except NotFound as error:
        errors.add("parent", exactly(visit, error))
        return None


def _converted(values: Mapping[str, Any], errors: FormErrors) -> ProductDetails | None:
    """The product; None with what is wrong with each field, all of them at once."""
    plain = msgspec.to_builtins(values)
    for field in msgspec.structs.fields(ProductDetails):
        if field.name in plain:
            try:
                msgspec.convert(plain[field.name], field.type)
            except msgspec.ValidationError as error:
                _, reason = field_and_reason(error, field.type)
                errors.explain(Invalid(f"{field.name} {reason}"), _place(field.name))
    return None if errors else msgspec.convert(plain, ProductDetails)


def _place(field: str | None) -> str:
    """The field of the form for what a service, or a type, calls a field; "" where it has none."""
    if not field:
        return ""
    root = _PLACES.get(field) or _ROOT.split(field)[0]
    return root if root in (*FIELDS, KIND) else ""


def differences(mine: Texts, theirs: Texts) -> Sequence[str]:
    """The fields that say something else in one than in the other."""
    return [name for name in FIELDS if mine.get(name, "") != theirs.get(name, "")]
