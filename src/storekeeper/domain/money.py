"""Money: an integer number of minor units and an ISO 4217 code; never a float."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Annotated

import msgspec

from storekeeper.domain.errors import Invalid
from storekeeper.domain.types import MAX_AMOUNT, Struct

# ISO 4217 active codes of currencies in circulation; those with other than two minor digits below.
_TWO_DIGITS = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP
MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS
VED VES WST XCD YER ZAR ZMW ZWG
"""
MINOR_DIGITS: dict[str, int] = {
    **dict.fromkeys(_TWO_DIGITS.split(), 2),
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}

# What fits into 64 bits; which amounts are sensible is checked where they are used.
Minor = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1, examples=[1999])]
Amount = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT, examples=[1999])]
Currency = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Z]{3}$(?!\n)",
        examples=["GBP"],
        extra={"form": "a currency's code of three capital letters, such as GBP"},
    ),
]


class Money(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`amount` minor units (pence, cents) of `currency` (ISO 4217)."""

    amount: Minor
    currency: str

    def __add__(self, other: Money) -> Money:
        """Sum of two amounts of one currency; raises `Invalid` for two currencies."""
        if other.currency != self.currency:
            raise Invalid(f"can't add {other.currency} to {self.currency}", field="currency")
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __mul__(self, quantity: int) -> Money:
        return Money(amount=self.amount * quantity, currency=self.currency)

    def __str__(self) -> str:
        return f"{to_decimal_text(self.amount, self.currency)} {self.currency}"


def check_currency(code: str, field: str = "currency") -> str:
    """`code` itself; raises `Invalid` when ISO 4217 doesn't know it."""
    if code not in MINOR_DIGITS:
        raise Invalid(f"{code!r} is not an ISO 4217 currency code in use", field=field)
    return code


def to_decimal_text(amount: int, currency: str) -> str:
    """Minor units as decimal text with the currency's digits: 1999 GBP -> '19.99'."""
    digits = MINOR_DIGITS[currency]
    if digits == 0:
        return str(amount)
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 10**digits)
    return f"{sign}{whole}.{part:0{digits}d}"


def from_decimal_text(text: str, currency: str, field: str = "price") -> int:
    """Decimal text as minor units, exactly; raises `Invalid` for more digits than there are."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise Invalid(f"{text!r} is not an amount such as 19.99", field=field) from None
    if not value.is_finite() or abs(value) > MAX_AMOUNT:
        raise Invalid(f"{text!r} is not an amount that a shop can charge", field=field)
    minor = value.scaleb(MINOR_DIGITS[currency])
    if minor != minor.to_integral_value():
        raise Invalid(f"{text!r} has more decimals than {currency} has", field=field)
    return int(minor)


def by_percent(amount: int, percent: Decimal) -> int:
    """An amount raised by so many percent (lowered by negative ones), halves away from zero."""
    changed = Decimal(amount) * (100 + percent) / 100
    return int(changed.to_integral_value(rounding=ROUND_HALF_UP))


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum, in minor units; zero of `currency` for none."""
    result = Money(amount=0, currency=currency)
    for amount in amounts:
        result = result + amount
    return result
