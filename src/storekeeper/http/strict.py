"""Bodies are decoded into the handler's type strictly: a string is no number.

Litestar converts a body together with the query, leniently, because a query has only strings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request

from storekeeper.http import problems


class StrictRequest(Request[Any, Any, Any]):
    """Decodes JSON straight into what the route handler's `data` is declared to be."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            return _decoder(_type_of_data(self.scope["route_handler"])).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise problems.of_decode_error(error) from None


def _type_of_data(handler: Any) -> Any:
    return handler.parsed_fn_signature.parameters["data"].annotation


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
