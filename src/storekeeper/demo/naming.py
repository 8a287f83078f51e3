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
_SIZE = re.compile(r"[0-9][0-9.x]*(?:cm|mm|g|kg|ml|w|pc)?(?:x[0-9.]+(?:cm)?)*", re.IGNORECASE)
_PART = re.compile(r"[^\s\-/+(]+|[\s\-/+(]+")
_LETTER = re.compile(r"[^\W\d_]")

SERVICES = "Carriage & services"
OTHER_CATEGORY = "Gifts & more"
# In order of precedence; `_` stands for a space, the rest is regular expressions of whole words.
_CATEGORY_WORDS = {
    SERVICES: """
        carriage$ postage manual samples? discount commission bank_charges amazon_fee
        voucher bad_debt
    """,
    "Christmas": """
        christmas xmas advent baubles? nativity reindeer snowm[ae]n snowflakes? santa
        stocking mistletoe noel
    """,
    "Signs & doormats": """
        signs? doormat tile black_?board chalkboard memo_?board
    """,
    "Bath & wellbeing": """
        bath bathroom soap sponge toilet balm flannel plasters first_aid
        hot_water_bottle hand_warmer lavender cosmetic wash lip_gloss
    """,
    "Easter": """
        easter bunny bunnies chicks?
    """,
    "Bags & travel": """
        bags? shopper purse wallet luggage passport handbag backpack umbrella parasol
        suitcases? washbag tote travel
    """,
    "Candles & lights": """
        (?:chocolate)?candles? candleholder candlestick candlepot t-lights? lights?
        lanterns? lamps? lampshade votive incense oil_burner chandelier
    """,
    "Party": """
        party birthday bunting balloons? confetti garland paper_chain invites
        cocktail_parasols napkins? doilies paper_plates? paper_cups? tissues straws
    """,
    "Jewellery & accessories": r"""
        necklaces? bracelets? earrings? rings? brooch bangle pendant hair clips scarf
        fan key_?rings? jewellery hat poncho
    """,
    "Baking": """
        baking cases cookie cutters? moulds? cake_?stand cake_tins? rolling_pin whisk
        petit_four cupcake
    """,
    "Kitchen & dining": """
        kitchen mugs? cups? saucers? teacup teapot tea coffee bowls? plates? dish jug
        jars? tray cutlery spoons? scales apron oven bread breakfast milk sugar salt egg lunch
        snack food beaker colander wine_glass(?:es)? champagne coasters? placemats? tins? recipe
        spice pantry butter jam biscuit pan tumbler decanter picnic washing_up pegs?
        towels? bottle
    """,
    "Toys & crafts": """
        toys? dolls? dominoes jigsaw games? snap_cards skittles puppet knitting felt
        feltcraft craft colouring sewing kit playhouse spinning_tops gliders? harmonica
        skipping magic bingo ludo snakes teddy rabbit monkey helicopter marbles
        modelling paint money_bank piggy_bank money_box ball beach_spade sandcastle
    """,
    "Stationery & cards": """
        cards? wrap ribbons? notebooks? sketchbook journal notepad pens? pencils? ruler
        stickers? tape stationery envelopes? tags? paper crayons chalk erasers? letters?
        photo_album books? calendar stamps?
    """,
    "Garden": """
        garden gardeners plant watering windmill seed herbs? grow_your_own bird_?house trellis
        potting birdcage trowel planter hammock
    """,
    "Home & furniture": """
        cushions? clocks? mirrors? cabinet drawers? (?:drawer)?knobs? hooks? hanger rack frames?
        shelf basket wicker storage crates? box(?:es)? doorstop stool chairs? table tablecloth
        curtain rug mat magnets? vase block chest tidy holder wall fob hearts?
        decorations? ornament wreath bell flowers? stand trinket bin bucket organiser
    """,
}
CATEGORIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(rf"\b(?:{'|'.join(words.split()).replace('_', ' ')})\b", re.IGNORECASE))
    for name, words in _CATEGORY_WORDS.items()
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
