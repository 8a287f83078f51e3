"""Forms that bring a file: their fields first, then the file a piece at a time, never whole.

Whether the form is ours is decided on the fields alone, before a byte of the file is read; so the
file has to be the last field of its form.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeAlias

from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from storekeeper.domain.errors import Malformed, PayloadTooLarge
from storekeeper.http.imports import body_of

MOST_FIELDS = 500
# Of all fields together; the file is bounded by whoever takes it.
MOST_FIELD_BYTES = 1_000_000
MOST_DROPPED = 50_000_000

# What a part begins with, some of its bytes, its end.
_Event: TypeAlias = MultipartSegment | bytes | bytearray | None


class Upload:
    """The file of a form, to be read once. `name` is what its sender calls it, and untrusted."""

    def __init__(self, name: str, events: AsyncGenerator[_Event]) -> None:
        self.name = name
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for event in self._events:
            if event is None:
                return
            if not isinstance(event, MultipartSegment):
                yield bytes(event)

    async def close(self) -> None:
        """What of it wasn't read is left."""
        await self._events.aclose()

    async def read(self, at_most: int) -> bytes:
        """All of it; raises `PayloadTooLarge`.

        What is too much is read for a while yet and dropped: a browser that is still sending
        doesn't look for an answer.
        """
        found = bytearray()
        size = 0
        async for piece in self:
            size += len(piece)
            if size <= at_most:
                found += piece
            elif size > at_most + MOST_DROPPED:
                break
        if size > at_most:
            raise PayloadTooLarge(f"the file may have at most {at_most // 1_000_000} MB")
        return bytes(found)


async def read_form(
    request: Request[Any, Any, Any],
) -> tuple[list[tuple[str, str]], Upload | None]:
    """The fields up to the first file, and that file; None where none was chosen.

    Raises `Malformed` and `PayloadTooLarge`.
    """
    events = _events(request)
    fields: list[tuple[str, str]] = []
    size = 0
    name, value = "", bytearray()
    async for event in events:
        if isinstance(event, MultipartSegment):
            if event.filename:
                return fields, Upload(event.filename, events)
            name = event.name or ""
            value.clear()
        elif event is not None:
            value += event
            size += len(event)
            if size > MOST_FIELD_BYTES:
                raise PayloadTooLarge("there is too much text in this form")
        else:
            fields.append((name, value.decode("utf-8", "replace")))
    return fields, None


async def _events(request: Request[Any, Any, Any]) -> AsyncGenerator[_Event]:
    """A segment, its bytes, None at its end; and so on."""
    boundary = request.content_type[1].get("boundary", "")
    try:
        with PushMultipartParser(boundary, max_segment_count=MOST_FIELDS, strict=True) as parser:
            async for piece in body_of(request):
                for event in parser.parse(piece):
                    yield event
    except MultipartError as error:
        raise Malformed(f"the form can't be read: {error}") from None
