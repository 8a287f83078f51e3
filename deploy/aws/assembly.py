"""What was synthesized, as the deployment reads it: stacks in the order in which they are made."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

from deploy.aws.fixed import GUARD, GUARDED


class Made(NamedTuple):
    """A stack's template. `part`: its name without the environment's prefix. `is_protected`: it
    can't be removed before that is switched off."""

    name: str
    part: str
    template: str
    is_protected: bool = False

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads(self.template)["Resources"]
        return found

    @property
    def parameters(self) -> Collection[str]:
        """Names of what it has to be told."""
        return set(json.loads(self.template).get("Parameters", ()))

    @property
    def is_guarded(self) -> bool:
        """Whether something of it refuses to be deleted."""
        return GUARD in self.parameters

    def without_guard(self, there: Collection[str]) -> Made:
        """As it is while resources are made that aren't `there` yet: those can be deleted. The stack
        itself where it has no such."""
        template = json.loads(self.template)
        resources = {
            name: one if name in there else _deletable(one)
            for name, one in template["Resources"].items()
        }
        if resources == template["Resources"]:
            return self
        text = json.dumps({**template, "Resources": resources}, separators=(",", ":"))
        return self._replace(template=text)


def _deletable(value: Any) -> Any:
    if isinstance(value, list):
        return [_deletable(one) for one in value]
    if not isinstance(value, dict):
        return value
    match value.get("Fn::If"):
        case [condition, _, no] if condition == GUARDED:
            return no
    return {name: _deletable(one) for name, one in value.items()}


def stacks(folder: Path) -> list[Made]:
    """Each after those that it needs."""
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    known = {id: one for id, one in artifacts.items() if one["type"] == "aws:cloudformation:stack"}
    needs = {
        id: [other for other in one.get("dependencies", ()) if other in known]
        for id, one in known.items()
    }
    order = TopologicalSorter(needs).static_order()
    return list(_read(folder, [(id, known[id]) for id in order]))


def _read(folder: Path, found: list[tuple[str, dict[str, Any]]]) -> Iterator[Made]:
    for id, one in found:
        told = one["properties"]
        # Without spaces: CloudFormation takes no more than 51,200 bytes.
        text = json.dumps(
            json.loads((folder / told["templateFile"]).read_text()), separators=(",", ":")
        )
        protected = bool(told.get("terminationProtection"))
        yield Made(told["stackName"], id.lower(), text, protected)
