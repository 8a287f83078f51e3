"""The demo shop's data: a small part of a real shop's invoice lines, shipped with the package.

Same columns and conventions as the file that `storekeeper.replay` reads. Where it comes from, under
which licence, and what was changed: ATTRIBUTION.md beside this file.
"""

from __future__ import annotations

from importlib.resources import files
from typing import BinaryIO, cast

SAMPLE = "sample.csv.gz"


def open_sample() -> BinaryIO:
    """The sample's bytes for `storekeeper.replay.source.rows_from`; the caller closes it."""
    return cast("BinaryIO", files(__name__).joinpath(SAMPLE).open("rb"))
