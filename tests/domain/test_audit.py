"""The audit log must show what changed, wherever in a long text that is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.audit import LONGEST_VALUE, differences

TEXTS = st.text("ab", max_size=20)
LONG = st.integers(0, 3 * LONGEST_VALUE).map("c".__mul__)


@given(start=LONG, before=TEXTS, after=TEXTS, end=LONG)
def test_texts_that_differ_are_shown_to_differ(start: str, before: str, after: str, end: str):
    old, new = start + before + end, start + after + end
    found = differences({"description": old}, {"description": new})
    assert bool(found) is (old != new)
    for change in found:
        assert change.before != change.after
        assert len(change.before or "") <= LONGEST_VALUE
        assert len(change.after or "") <= LONGEST_VALUE
