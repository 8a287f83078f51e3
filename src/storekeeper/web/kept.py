"""What somebody had typed when their session was over: kept in the page on which they log in.

It stays in their browser, so nothing has to be remembered here, and it counts only when they send it
themselves afterwards, as the form that it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from storekeeper.web.csrf import FIELD
from storekeeper.web.visit import Visit, safe_next

TO = "kept_to"
IN_PARTS = "kept_parts"
HAD_FILE = "kept_file"
PREFIX = "kept."
# Passwords are typed once more.
SECRET = frozenset({"password", "current", "new_password", "again", "delete_password"})
# Characters of a form, above which it is more than somebody has typed.
MOST = 500_000


class Kept(NamedTuple):
    """A form's fields, where it goes and how (`in_parts`: as one that may have a file), and whether
    it did bring a file, which no page can keep."""

    to: str
    fields: Sequence[tuple[str, str]]
    in_parts: bool
    had_file: bool


def kept_of(visit: Visit) -> Kept | None:
    """The form that was just sent; None where there is none of ours, or nothing in it."""
    if not visit.is_ours:
        return None
    fields = [
        (name, value)
        for name, values in visit.lists.items()
        for value in values
        if name != FIELD and name not in SECRET
    ]
    to = safe_next(visit.address, "")
    size = sum(len(value) for _, value in fields)
    if not to or not 0 < size <= MOST:
        return None
    in_parts = visit.header(b"content-type").startswith("multipart/")
    return Kept(to, fields, in_parts, had_file=visit.upload is not None)


def brought(visit: Visit) -> Kept | None:
    """The form that the log-in page carries on."""
    to = safe_next(visit.text(TO), "")
    fields = [
        (name.removeprefix(PREFIX), value)
        for name, values in visit.lists.items()
        if name.startswith(PREFIX)
        for value in values
    ]
    if not to or not fields:
        return None
    return Kept(to, fields, IN_PARTS in visit.form, had_file=HAD_FILE in visit.form)
