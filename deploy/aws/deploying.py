"""Brings stacks to CloudFormation: one change set after the other, with what takes each back.

The CDK's own command would do but for one thing: it can't name the alarms at which CloudFormation
goes back to the release before.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import botocore.exceptions as failures

from deploy.aws.assembly import Made

POLL_S = 5.0
# CloudFormation watches the alarms for so long after an update.
WATCH_MINUTES = 10
# What holds data: nothing of it is removed or made anew by an update.
DATA = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::S3::Bucket",
        "AWS::Cognito::UserPool",
        "AWS::SecretsManager::Secret",
        "AWS::Backup::BackupVault",
        "AWS::KMS::Key",
    }
)
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


class DeploymentError(Exception):
    """A stack that couldn't be made as it should; says which, and what CloudFormation said."""


class Formation:
    """CloudFormation, for one environment. `tell` gets a line for each thing that happens."""

    def __init__(
        self, client: Any, tell: Callable[[str], None], *, poll_seconds: float = POLL_S
    ) -> None:
        self._client = client
        self._tell = tell
        self._poll_s = poll_seconds

    def put(self, stack: Made, parameters: Mapping[str, str]) -> dict[str, str]:
        """Makes or updates the stack, waits for it, and answers its outputs."""
        before = self._described(stack.name)
        is_new = before is None or before["StackStatus"] == "REVIEW_IN_PROGRESS"
        change_set = self._change_set(stack, parameters, before, is_new=is_new)
        if change_set is None:
            self._tell(f"{stack.name}: as it was")
        else:
            self._refuse_loss(stack, change_set)
            self._tell(f"{stack.name}: {'making' if is_new else 'updating'} it")
            self._client.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
            self._wait(stack.name, "stack", self._status_of_stack)
            self._require_done(stack.name)
            self._client.update_termination_protection(
                StackName=stack.name, EnableTerminationProtection=stack.is_protected
            )
        return self.outputs(stack.name)

    def outputs(self, name: str) -> dict[str, str]:
        found = self._described(name) or {}
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}

    def _change_set(
        self,
        stack: Made,
        parameters: Mapping[str, str],
        before: Mapping[str, Any] | None,
        *,
        is_new: bool,
    ) -> Any:
        """Ready to be executed; None where nothing would change."""
        name = f"deploy-{time.time_ns()}"
        wanted: dict[str, Any] = {
            "StackName": stack.name,
            "ChangeSetName": name,
            "ChangeSetType": "CREATE" if is_new else "UPDATE",
            "TemplateBody": stack.template,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        }
        if not is_new and before is not None:
            wanted |= rollback_of(before)
        made = self._client.create_change_set(**wanted)
        found = self._wait(made["Id"], "change set", self._status_of_change_set)
        if found["Status"] != "FAILED":
            return found
        self._client.delete_change_set(ChangeSetName=made["Id"])
        reason = str(found.get("StatusReason", ""))
        if any(text in reason for text in _NO_CHANGES):
            return None
        raise DeploymentError(f"{stack.name} can't be changed as it should: {reason}")

    def _refuse_loss(self, stack: Made, change_set: Mapping[str, Any]) -> None:
        lost = [
            change["LogicalResourceId"]
            for change in (one.get("ResourceChange", {}) for one in change_set.get("Changes", ()))
            if change.get("ResourceType") in DATA
            and (change.get("Action") == "Remove" or change.get("Replacement") == "True")
        ]
        if lost:
            self._client.delete_change_set(ChangeSetName=change_set["ChangeSetId"])
            raise DeploymentError(
                f"{stack.name}: the update would remove or make anew {', '.join(lost)}, which hold "
                "data; nothing was done. If that is wanted, do it by hand"
            )

    def _wait(self, id: str, kind: str, ask: Callable[[str], tuple[str, Any]]) -> Any:
        for turn in itertools.count():
            status, found = ask(id)
            if not status.endswith(("_PROGRESS", "_PENDING")):
                return found
            if turn and turn % 24 == 0:
                self._tell(f"{found.get('StackName', kind)}: {status}")
            time.sleep(self._poll_s)
        raise AssertionError

    def _status_of_stack(self, name: str) -> tuple[str, Any]:
        found = self._described(name) or {}
        status = str(found.get("StackStatus", ""))
        # What is left over is removed behind everybody's back.
        return status.replace("COMPLETE_CLEANUP_IN_PROGRESS", "COMPLETE"), found

    def _status_of_change_set(self, id: str) -> tuple[str, Any]:
        found = self._client.describe_change_set(ChangeSetName=id)
        return str(found["Status"]), found

    def _described(self, name: str) -> dict[str, Any] | None:
        try:
            (found,) = self._client.describe_stacks(StackName=name)["Stacks"]
        except failures.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return dict(found)

    def _require_done(self, name: str) -> None:
        found = self._described(name) or {}
        status = str(found.get("StackStatus", "gone"))
        if status in _DONE:
            return
        events = self._client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}"
            for one in events
            if str(one.get("ResourceStatus", "")).endswith("_FAILED")
        ]
        # The oldest is the cause; those after it were cancelled for it.
        cause = reasons[-1] if reasons else str(found.get("StackStatusReason", ""))
        raise DeploymentError(f"{name} is {status}: {cause}")


def rollback_of(before: Mapping[str, Any]) -> dict[str, Any]:
    """The alarms that the stack itself says take an update of it back."""
    outputs = {one["OutputKey"]: one["OutputValue"] for one in before.get("Outputs", ())}
    alarms = [arn for arn in outputs.get("RollbackAlarms", "").split(",") if arn]
    if not alarms:
        return {}
    return {
        "RollbackConfiguration": {
            "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"} for arn in alarms],
            "MonitoringTimeInMinutes": WATCH_MINUTES,
        }
    }


def deploy(
    formation: Formation,
    found: Sequence[Made],
    *,
    upload: Callable[[str], str],
) -> dict[str, dict[str, str]]:
    """All stacks, in order; their outputs by part. `upload` brings the release into the bucket of
    that name, before the machines that need it, and answers its hash."""
    outputs: dict[str, dict[str, str]] = {}
    for stack in found:
        parameters = {}
        if stack.part == "compute":
            parameters["Release"] = upload(outputs["releases"]["BucketName"])
        outputs[stack.part] = formation.put(stack, parameters)
    return outputs
