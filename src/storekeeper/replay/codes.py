"""What a stock code and its description stand for; pure rules, learnt from how the shop wrote them.

Codes. The shop used some codes for things that aren't goods. *Extras* are charged to customers and
have no stock: carriage (`POST`, `DOT`, `C2`), hand-written lines (`M`), samples (`S`), discounts
(`D`), pads (`PADS`) and vouchers (`gift_0001_20`). *Fees* are money between the shop and its bank,
marketplace or charity, or a bad debt, and are no sale to anybody. Everything else is goods.

Descriptions. On lines without a price the shop wrote free-text notes ("damages", "?", "found some
more on shelf") where the product's name belongs; on lines with a price it never did.
"""

from __future__ import annotations

import re
from enum import StrEnum

_EXTRAS = frozenset({"POST", "DOT", "C2", "M", "S", "D", "PADS"})
_FEES = frozenset({"AMAZONFEE", "BANK CHARGES", "B", "CRUK"})
_VOUCHER_PREFIX = "GIFT_"

_CAPITAL_WORD = re.compile(r"\b[A-Z]{2,}\b")
_CAPITAL_WORDS_OF_A_NAME = 2
_NOTE_WORD = re.compile(
    r"\b(?:adjust\w*|credit\w*|damage\w*|error|found|lost|missing|returned|thrown|wrong\w*)\b",
    re.IGNORECASE,
)


class CodeKind(StrEnum):
    GOODS = "goods"
    EXTRA = "extra"
    FEE = "fee"


def canonical_sku(stock_code: str) -> str:
    """The one spelling of a code: `85123a` and `85123A` are the same product, written in capitals.

    The shop's tills wrote 83 codes in both cases, mostly in capitals, and a SKU is unique whatever
    its case.
    """
    return stock_code.upper()


def kind_of(sku: str) -> CodeKind:
    """What the canonical `sku` stands for."""
    if sku in _FEES:
        return CodeKind.FEE
    if sku in _EXTRAS or sku.startswith(_VOUCHER_PREFIX):
        return CodeKind.EXTRA
    return CodeKind.GOODS


def is_goods(sku: str) -> bool:
    """Whether units of the canonical `sku` are kept in stock."""
    return kind_of(sku) is CodeKind.GOODS


def is_note(description: str) -> bool:
    """Whether the description of a line without a price is a remark and not a product's name.

    Names are in capitals, at least two words of them ("POLYESTER FILLER PAD 45x45cm"). A note is
    empty, `nan`, only signs, in small letters, a lone word ("FOUND"), or speaks of a correction
    ("POSSIBLE DAMAGES OR LOST?"). Not for lines with a price: some names there are in small
    letters ("Dad's Cab Electronic Meter").
    """
    if _NOTE_WORD.search(description):
        return True
    return len(_CAPITAL_WORD.findall(description)) < _CAPITAL_WORDS_OF_A_NAME
