"""What no other test asks about: nothing of the stacks changes without somebody having seen it.

Written anew, to be read as a difference, with WRITE_SNAPSHOT=1 in the environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.deploy.templates import Assembly

FILE = Path(__file__).parent / "snapshot.json"
# Made from the application, which is tested elsewhere, and would change here with each route.
LEFT_OUT = {"AWS::ApiGatewayV2::Route", "AWS::CloudWatch::Alarm"}
# Scripts, and what is in them, have tests of their own.
SHORTENED = {"UserData", "ZipFile", "DashboardBody", "RouteSettings"}


def shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "…" if name in SHORTENED else shown(one)
            for name, one in value.items()
            # The stage depends on every route.
            if name not in ("DependsOn", "Metadata")
        }
    return [shown(one) for one in value] if isinstance(value, list) else value


def snapshot(assembly: Assembly) -> dict[str, Any]:
    return {
        stack: {
            name: shown(resource)
            for name, resource in template["Resources"].items()
            if resource["Type"] not in LEFT_OUT
        }
        for stack, template in assembly.templates.items()
    }


def test_the_stacks_are_as_they_were_seen_last(full: Assembly) -> None:
    found = snapshot(full)
    if "WRITE_SNAPSHOT" in os.environ:
        FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    seen = json.loads(FILE.read_text())
    assert found.keys() == seen.keys()
    for stack, resources in found.items():
        assert resources == seen[stack], f"{stack} differs; see this file's first lines"
