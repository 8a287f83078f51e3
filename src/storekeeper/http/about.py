"""What the API's document and its pages say of the API as a whole."""

from __future__ import annotations

from collections.abc import Mapping

DESCRIPTION = """\
Sell and keep stock: catalogue, stock, orders, accounts and webhooks of one shop.

**JSON** in UTF-8 with `snake_case` names. A string is no number, unknown fields and unknown query \
parameters are refused. Of a name that stands in one object twice the last counts. In a query, numbers are digits, and truth is `true` or `false`. Times are \
RFC 3339 in UTC and need their zone. Money is an integer number of minor units with its ISO 4217 \
code: `{"amount": 1999, "currency": "GBP"}` is £19.99.

**Logging in**: send `Authorization: Bearer TOKEN` with an access token from `POST /auth/login`, \
or an API key.

**Lists** come a page at a time: `limit` says how many, and the `Link` header (or `next`, sent as \
`cursor`) leads to the next page. The order is stable while others write.

**Retries** are harmless with an `Idempotency-Key` header of your making: the same key with the \
same request gives what the first one made, for ever; with another request it is refused.

**Versions**: what can be edited has an `ETag`. Send it as `If-Match` with a change, and the \
change is refused (412) if somebody else was faster. A weak one (`W/"3"`) never matches.

**Errors** are problems (RFC 9457, `application/problem+json`) with a stable `code`; `field` is \
the path of what is wrong. All codes are listed at [/docs/errors](/docs/errors).

**Limits**: the `RateLimit` header says how many requests are left; 429 and 503 carry \
`Retry-After`. Every answer has an `X-Request-ID`, which is in the shop's log and in every problem.

**HEAD** works wherever GET does; **OPTIONS** answers with the methods that an address takes.
"""
TAGS: Mapping[str, str] = {
    "products": "What the shop sells.",
    "stock": "Units on hand and reserved, by location, and the ledger of their movements.",
    "locations": "The places that hold stock.",
    "imports": "CSV in and out: uploads that become jobs, their progress, and exports.",
    "orders": "Placing and following orders, and what staff do with them.",
    "auth": "Logging in and out, refreshing, and setting a forgotten password.",
    "users": "Accounts: one's own, and what admins do with others'.",
    "api keys": "Keys for integrations, shown once.",
    "webhooks": "Where integrators want events, and how sending them went.",
    "reports": "The shop in figures.",
    "audit": "Who changed what, with what it was before and after.",
    "settings": "What the shop says of itself and how long it reserves.",
    "operation": "For load balancers, supervisors, Prometheus and programs that read this.",
}
