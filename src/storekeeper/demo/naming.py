"""Makes names and categories that read well from the shop's till descriptions; pure, by rules.

The tills wrote in capitals and cut words short. A name that no rule fits stays what it was, in
title case, so the worst case is plain and never wrong.
"""

from __future__ import annotations

import re

_SMALL_WORDS = frozenset("a and as de des du for in of on or the to with".split())
_KEPT_IN_CAPITALS = frozenset("3D ABC CD DIY II LED M.O.P MDF TV UK US USB VIP WC".split())
_WHOLE_WORDS = {
    "&": "and",
    "+": "and",
    "ASS": "Assorted",
    "ASST": "Assorted",
    "ASSTD": "Assorted",
    "B'FLY": "Butterfly",
    "C/COVER": "Cushion Cover",
    "CHILDRENS": "Children's",
    "CHILDS": "Child's",
    "COL": "Colour",
    "COLOURS": "Colours",
    "DEC": "Decoration",
    "DOILEY": "Doily",
    "HLDR": "Holder",
    "P'WEIGHT": "Paperweight",
    "PC": "Piece",
    "STRAWBERY": "Strawberry",
    "TURQ": "Turquoise",
    "VINT": "Vintage",
    "W": "with",
    "XMAS": "Christmas",
}
_FRONT = re.compile(r"^[*\s]+")
_LOOSE_COMMA = re.compile(r"\s*,\s*(?=\S)")
_END = re.compile(r"[\s,.]+$")
_WITH = re.compile(r"\bW/(?=[A-Z])")
_SET_OF = re.compile(r"\b(?:SET/|S/|SET OF ?)(?=[0-9])", re.IGNORECASE)
_PACK_OF = re.compile(r"\bPACK/(?=[0-9])", re.IGNORECASE)
_SIZE = re.compile(
    r"[0-9][0-9.x]*(?:cm|mm|m|g|kg|ml|l|w|pc)?(?:x[0-9.]+(?:cm|mm)?)*", re.IGNORECASE
)
_PART = re.compile(r"[^\s\-/+(]+|[\s\-/+(]+")
_LETTER = re.compile(r"[^\W\d_]")

SERVICES = "Carriage & services"
OTHER_CATEGORY = "Gifts & more"
CATEGORIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(rf"\b(?:{words})\b", re.IGNORECASE))
    for name, words in (
        (
            SERVICES,
            r"carriage$|postage|manual|samples?|discount|commission|bank charges|amazon fee"
            r"|voucher|bad debt",
        ),
        (
            "Christmas",
            r"christmas|xmas|advent|baubles?|nativity|reindeer|snowm[ae]n|snowflakes?|santa"
            r"|stocking|mistletoe|noel",
        ),
        (
            "Signs & doormats",
            r"signs?|doormat|tile|black ?board|chalkboard|memo ?board",
        ),
        (
            "Bath & wellbeing",
            r"bath|bathroom|soap|sponge|toilet|balm|flannel|plasters|first aid"
            r"|hot water bottle|hand warmer|lavender|cosmetic|wash|lip gloss",
        ),
        (
            "Easter",
            r"easter|bunny|bunnies|chicks?",
        ),
        (
            "Bags & travel",
            r"bags?|shopper|purse|wallet|luggage|passport|handbag|backpack|umbrella|parasol"
            r"|suitcases?|washbag|tote|travel",
        ),
        (
            "Candles & lights",
            r"(?:chocolate)?candles?|candleholder|candlestick|candlepot|t-lights?|lights?"
            r"|lanterns?|lamps?|lampshade|votive|incense|oil burner|chandelier",
        ),
        (
            "Party",
            r"party|birthday|bunting|balloons?|confetti|garland|paper chain|invites"
            r"|cocktail parasols|napkins?|doilies|paper plates?|paper cups?|tissues|straws",
        ),
        (
            "Jewellery & accessories",
            r"necklaces?|bracelets?|earrings?|rings?|brooch|bangle|pendant|hair|clips|scarf"
            r"|fan|key ?rings?|jewel\w*|hat",
        ),
        (
            "Baking",
            r"baking|cases|cookie|cutters?|moulds?|cake ?stand|cake tins?|rolling pin|whisk"
            r"|petit four|cupcake",
        ),
        (
            "Kitchen & dining",
            r"kitchen|mugs?|cups?|saucers?|teacup|teapot|tea|coffee|bowls?|plates?|dish|jug"
            r"|jars?|tray|cutlery|spoons?|scales|apron|oven|bread|breakfast|milk|sugar|salt"
            r"|egg|lunch|snack|food|wine glass(?:es)?|champagne|coasters?|placemats?|tins?"
            r"|recipe|spice|pantry|butter|jam|biscuit|pan|tumbler|decanter|picnic|washing up"
            r"|pegs?|towels?|bottle",
        ),
        (
            "Toys & crafts",
            r"toys?|dolls?|dominoes|jigsaw|games?|snap cards|skittles|puppet|knitting|felt"
            r"|feltcraft|craft|colouring|sewing|kit|playhouse|spinning tops|gliders?|harmonica"
            r"|skipping|magic|bingo|ludo|snakes|teddy|rabbit|monkey|helicopter|marbles"
            r"|modelling|paint|money bank|piggy bank|money box|ball|beach spade|sandcastle",
        ),
        (
            "Stationery & cards",
            r"cards?|wrap|ribbons?|notebooks?|sketchbook|journal|pens?|pencils?|ruler"
            r"|stickers?|tape|stationery|envelopes?|tags?|paper|crayons|chalk|erasers?"
            r"|letters?|photo album|books?|calendar|stamps?",
        ),
        (
            "Garden",
            r"garden|gardeners|plant|watering|windmill|seed|herb|bird ?house|trellis|potting"
            r"|birdcage|trowel|planter|hammock",
        ),
        (
            "Home & furniture",
            r"cushions?|clocks?|mirrors?|cabinet|drawers?|knobs?|hooks?|hanger|rack|frames?"
            r"|shelf|basket|wicker|storage|crates?|box(?:es)?|doorstop|stool|chairs?|table"
            r"|curtain|rug|mat|magnets?|vase|block|chest|tidy|holder|wall|fob|hearts?"
            r"|decorations?|ornament|wreath|bell|flowers?|stand|trinket|bin|bucket|organiser",
        ),
    )
)


def display_name(description: str) -> str:
    """The description in title case, with the tills' short forms written out.

    "WHITE HANGING HEART T-LIGHT HOLDER" becomes "White Hanging Heart T-Light Holder",
    "SET/6 RED SPOTTY PAPER PLATES" "Set of 6 Red Spotty Paper Plates".
    """
    text = _FRONT.sub("", " ".join(description.split()))
    text = _END.sub("", _LOOSE_COMMA.sub(", ", text))
    text = _WITH.sub("with ", text)
    text = _PACK_OF.sub("Pack of ", _SET_OF.sub("Set of ", text))
    words = [_word(word) for word in text.split(" ")]
    if not any(words):
        return description
    words[0], words[-1] = _capitalized(words[0]), _capitalized(words[-1])
    return " ".join(words)


def category(description: str) -> str:
    """The first category of `CATEGORIES` one of whose words is in the description."""
    for name, words in CATEGORIES:
        if words.search(description):
            return name
    return OTHER_CATEGORY


def _word(word: str) -> str:
    bare = word.rstrip(",")
    comma = word[len(bare) :]
    whole = _WHOLE_WORDS.get(bare.upper())
    if whole is not None:
        return whole + comma
    if word.lower() in _SMALL_WORDS:
        return word.lower()
    return "".join(_part(part) for part in _PART.findall(bare)) + comma


def _part(part: str) -> str:
    """One part of a word, as "T", "-" and "LIGHT" are of "T-LIGHT"."""
    if part.upper() in _KEPT_IN_CAPITALS:
        return part.upper()
    if _SIZE.fullmatch(part):
        return part.lower()
    return _capitalized(part.lower())


def _capitalized(text: str) -> str:
    """`text` with its first letter as a capital, past quotes, and unless a digit comes before."""
    first = _LETTER.search(text)
    if first is None or any(character.isdigit() for character in text[: first.start()]):
        return text
    return text[: first.start()] + first.group().upper() + text[first.end() :]
