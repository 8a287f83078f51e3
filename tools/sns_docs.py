"""Writes what docs/ say of the messages on SNS from the structs that make them.

    python -m tools.sns_docs

docs/sns.schema.json whole, and the tables in docs/sns.md, each after the line that names its
struct. A test holds both equal to the code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from storekeeper.notify.sns.messages import schema

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCHEMA = DOCS / "sns.schema.json"
PAGE = DOCS / "sns.md"
_TABLE = re.compile(r"(<!-- fields of (\w+) -->\n)((?:\|.*\n)*)")


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def page_with_tables(page: str) -> str:
    """The page with its tables as they should be."""
    parts = schema()["$defs"]
    return _TABLE.sub(lambda found: found[1] + _table(parts[found[2]]), page)


def _table(part: dict[str, Any]) -> str:
    rows = ["| field | type | what it is |", "| --- | --- | --- |"]
    for name, field in part["properties"].items():
        there = "" if name in part["required"] else ", optional"
        rows.append(f"| `{name}` | {_type(field)}{there} | {field.get('description', '')} |")
    return "\n".join(rows) + "\n"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "enum" in field:
        return ", ".join(f'`"{value}"`' for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    return str(field["type"]) + (f" ({field['format']})" if "format" in field else "")


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
    PAGE.write_text(page_with_tables(PAGE.read_text()))
