"""The templates are what CloudFormation takes, and the rules of AwsSolutions hold or it is said why.

The CDK itself refuses to synthesize where one of these rules (cdk-nag) isn't kept.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cfnlint import lint_by_config
from cfnlint.config import ManualArgs

from tests.deploy.templates import NAMES

# W3005: the CDK says of a function that it depends on its role, which it also names.
# W3010: zones stand in the template where an environment names them.
IGNORED = ["W3005", "W3010"]


@pytest.mark.parametrize("name", NAMES)
def test_cfn_lint_has_nothing_to_say(assemblies: Path, name: str) -> None:
    region = "eu-west-1" if name == "full" else "us-east-1"
    found = lint_by_config(
        ManualArgs(
            templates=[str(path) for path in (assemblies / name).glob("*.template.json")],
            regions=[region],
            ignore_checks=IGNORED,
        )
    )
    assert [f"{one.filename}: {one.message}" for one in found] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_exception_to_a_rule_gives_its_reason(assemblies: Path, name: str) -> None:
    """An auditor finds beside the templates what was accepted, where, and why."""
    reasons = {
        (construct, rule): reason
        for path in (assemblies / name).glob("*.metadata.json")
        for construct, entries in json.loads(path.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
    }
    assert len(reasons) > 20
    assert min(map(len, reasons.values())) > 20


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_the_checks_found_is_left(assemblies: Path, name: str) -> None:
    report = json.loads((assemblies / name / "validation-report.json").read_text())
    assert [one for plugin in report["pluginReports"] for one in plugin["violations"]] == []
