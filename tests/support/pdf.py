"""What our PDFs say, read back by their own tables: a paper that looks right and can't be searched
or read aloud is only half a paper."""

from __future__ import annotations

import re
import zlib

_STREAM = re.compile(rb"stream\n(.*?)\nendstream", re.DOTALL)
_LETTER = re.compile(rb"<([0-9A-F]{4})> <([0-9A-F]{4,})>")
# A font that is chosen, or a text that is shown.
_STEP = re.compile(rb"/F(\d+) [0-9.]+ Tf|\(((?:[^\\()]|\\.)*)\) Tj", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def texts_of(paper: bytes) -> list[str]:
    """Each text in the order in which it is drawn, without the spaces at its end."""
    streams = [found[1] for found in _STREAM.finditer(paper)]
    fonts = [_letters(stream) for stream in streams if b"begincmap" in stream]
    pages = [zlib.decompress(stream) for stream in streams if stream[:1] == b"\x78"]
    found: list[str] = []
    for page in pages:
        if b" Tj" not in page:
            continue
        letters = fonts[0]
        for step in _STEP.finditer(page):
            if step[1]:
                letters = fonts[int(step[1]) - 1]
            else:
                found.append(_text(step[2], letters))
    return found


def _letters(table: bytes) -> dict[int, str]:
    return {
        int(glyph, 16): bytes.fromhex(letters.decode()).decode("utf-16-be")
        for glyph, letters in _LETTER.findall(table)
    }


def _text(drawn: bytes, letters: dict[int, str]) -> str:
    plain = re.sub(
        rb"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), drawn, flags=re.DOTALL
    )
    glyphs = [plain[at : at + 2] for at in range(0, len(plain), 2)]
    return "".join(letters[int.from_bytes(glyph, "big")] for glyph in glyphs).rstrip()
