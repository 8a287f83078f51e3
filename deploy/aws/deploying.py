"""Brings stacks to CloudFormation: one change set after the other, with what takes each back.

The CDK's own command would do but for one thing: it can't name the alarms at which CloudFormation
goes back to the release before.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import botocore.exceptions as failures

from deploy.aws.assembly import Made
from deploy.aws.fixed import GUARD, OPTIONAL, PREFIX_LISTS

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
# A stack that has its name and nothing else: a change set was made for it and not executed.
_NAMED = "REVIEW_IN_PROGRESS"
# A first try that CloudFormation took back; all that can be done with it is to delete it.
_TAKEN_BACK = "ROLLBACK_COMPLETE"
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


class DeploymentError(Exception):
    """A stack that couldn't be made as it should; says which, and what CloudFormation said."""


class Formation:
    """CloudFormation, for one environment. `tell` gets a line for each thing that happens.
    `despite_alarms`: none takes an update back, for one that mends what rings already."""

    def __init__(
        self,
        client: Any,
        tell: Callable[[str], None],
        *,
        despite_alarms: bool = False,
        poll_seconds: float = POLL_S,
    ) -> None:
        self._client = client
        self.tell = tell
        self._despite_alarms = despite_alarms
        self._poll_s = poll_seconds

    def put(self, stack: Made, parameters: Mapping[str, str]) -> dict[str, str]:
        """Makes or updates the stack, waits for it, and answers its outputs.

        What guards against deletion is switched on when all that is new is there: a try that fails
        could not be taken back otherwise. What was there keeps its guard meanwhile.
        """
        before = self._settled(stack)
        first = stack
        if stack.is_guarded:
            parameters = {**parameters, GUARD: "true"}
            first = stack.without_guard(self._there(stack.name) if before else ())
        self._change(first, parameters, before)
        if first is not stack:
            self._change(stack, parameters, {})
        # Also where nothing changes: the run that made the stack may have been broken off.
        self._client.update_termination_protection(
            StackName=stack.name, EnableTerminationProtection=stack.is_protected
        )
        return self.outputs(stack.name)

    def remove_unused(self, name: str) -> None:
        """Removes a stack that no other needs any more, if it is there. One that holds data stays,
        and that is told."""
        found = self._described(name)
        if found is None or found["StackStatus"] == _NAMED:
            return
        if not self._wait(name, "stack", self._whole_status_of_stack):
            return
        held = [id for id, kind in self._there(name).items() if kind in DATA]
        if held:
            self.tell(f"{name}: not used any more; it stays, as {', '.join(held)} may hold data")
            return
        self.tell(f"{name}: not used any more, removing it")
        self._client.update_termination_protection(
            StackName=name, EnableTerminationProtection=False
        )
        token = str(uuid.uuid4())
        self._client.delete_stack(StackName=name, ClientRequestToken=token)
        self._wait(name, "stack", self._whole_status_of_stack)
        if self._described(name) is not None:
            self._require_done(name, token)

    def _there(self, name: str) -> dict[str, str]:
        """What the stack has: types by logical id."""
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=name)
        return {
            one["LogicalResourceId"]: one["ResourceType"]
            for page in pages
            for one in page["StackResourceSummaries"]
            if one["ResourceStatus"] != "DELETE_COMPLETE"
        }

    def _change(
        self, stack: Made, parameters: Mapping[str, str], before: Mapping[str, Any] | None
    ) -> None:
        change_set = self._change_set(stack, parameters, before)
        if change_set is None:
            self.tell(f"{stack.name}: as it was")
            return
        self._refuse_loss(stack, change_set)
        self.tell(f"{stack.name}: {'making' if before is None else 'updating'} it")
        token = str(uuid.uuid4())
        self._client.execute_change_set(
            ChangeSetName=change_set["ChangeSetId"], ClientRequestToken=token
        )
        self._wait(stack.name, "stack", self._status_of_stack)
        self._require_done(stack.name, token)

    def _settled(self, stack: Made) -> dict[str, Any] | None:
        """The stack once nothing is under way; None where it has to be made."""
        name = stack.name
        found = self._described(name)
        if found is None or found["StackStatus"] == _NAMED:
            return None
        if found["StackStatus"].endswith("_IN_PROGRESS"):
            self.tell(f"{name}: {found['StackStatus']}, waiting for its end")
            self._wait(name, "stack", self._whole_status_of_stack)
            return self._settled(stack)
        if found["StackStatus"] == _TAKEN_BACK:
            self.tell(f"{name}: {_TAKEN_BACK}, removing what is left of the first try")
            self._client.delete_stack(StackName=name)
            self._wait(name, "stack", self._whole_status_of_stack)
            found = self._described(name)
            if found is None:
                return None
        if found["StackStatus"].endswith("_FAILED"):
            raise DeploymentError(
                f"{name} is {found['StackStatus']}: {found.get('StackStatusReason', '')}. "
                + _remedy(found["StackStatus"], name)
            )
        return found

    def outputs(self, name: str) -> dict[str, str]:
        found = self._described(name) or {}
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}

    def _change_set(
        self,
        stack: Made,
        parameters: Mapping[str, str],
        before: Mapping[str, Any] | None,
    ) -> Any:
        """Ready to be executed; None where nothing would change. `before`: the stack that is there,
        with the alarms that take an update back among its outputs; None for a new one."""
        name = f"deploy-{time.time_ns()}"
        wanted: dict[str, Any] = {
            "StackName": stack.name,
            "ChangeSetName": name,
            "ChangeSetType": "CREATE" if before is None else "UPDATE",
            "TemplateBody": stack.template,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        }
        if before is not None:
            wanted |= rollback_of(before, despite_alarms=self._despite_alarms)
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
                self.tell(f"{found.get('StackName', kind)}: {status}")
            time.sleep(self._poll_s)
        raise AssertionError

    def _status_of_stack(self, name: str) -> tuple[str, Any]:
        found = self._described(name) or {}
        status = str(found.get("StackStatus", ""))
        # What is left over is removed behind everybody's back.
        return status.replace("COMPLETE_CLEANUP_IN_PROGRESS", "COMPLETE"), found

    def _whole_status_of_stack(self, name: str) -> tuple[str, Any]:
        """Until nothing is done behind anybody's back either."""
        found = self._described(name) or {}
        return str(found.get("StackStatus", "")), found

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

    def _require_done(self, name: str, token: str) -> None:
        found = self._described(name) or {}
        status = str(found.get("StackStatus", "gone"))
        if status in _DONE:
            return
        reasons = [
            f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}"
            for one in self._events(name, token)
            if str(one.get("ResourceStatus", "")).endswith("_FAILED")
        ]
        # The oldest is the cause; those after it were cancelled for it.
        cause = reasons[-1] if reasons else str(found.get("StackStatusReason", ""))
        raise DeploymentError(f"{name} is {status}: {cause}")

    def _events(self, name: str, token: str) -> Iterator[Mapping[str, Any]]:
        """Of what was begun with this token, the newest first; a stack has those of years."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=name)
        is_found = False
        for event in (one for page in pages for one in page["StackEvents"]):
            is_ours = event.get("ClientRequestToken") == token
            if is_found and not is_ours:
                return
            is_found = is_found or is_ours
            if is_ours:
                yield event


def _remedy(status: str, name: str) -> str:
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            "Mend that, let it go back (aws cloudformation continue-update-rollback --stack-name "
            f"{name}), and start again"
        )
    return (
        f"Mend that, remove the stack (aws cloudformation delete-stack --stack-name {name}) and what "
        "it leaves behind, and start again"
    )


def rollback_of(before: Mapping[str, Any], *, despite_alarms: bool = False) -> dict[str, Any]:
    """The alarms that the stack itself says take an update of it back. None of them has to be said
    too: CloudFormation remembers those of the update before."""
    outputs = {one["OutputKey"]: one["OutputValue"] for one in before.get("Outputs", ())}
    alarms = [arn for arn in outputs.get("RollbackAlarms", "").split(",") if arn]
    if not alarms:
        return {}
    return {
        "RollbackConfiguration": {
            "RollbackTriggers": [
                {"Arn": arn, "Type": "AWS::CloudWatch::Alarm"}
                for arn in alarms
                if not despite_alarms
            ],
            "MonitoringTimeInMinutes": 0 if despite_alarms else WATCH_MINUTES,
        }
    }


def deploy(
    formation: Formation,
    found: Sequence[Made],
    *,
    upload: Callable[[str], str],
    prefix_list: Callable[[str], str],
) -> dict[str, dict[str, str]]:
    """All stacks, in order; their outputs by part. `upload` brings the release into the bucket of
    that name, before the machines that need it, and answers its hash; `prefix_list` answers the id
    of a service's list of addresses. What is switched off goes last, when nothing uses it any more."""
    outputs: dict[str, dict[str, str]] = {}
    release = ""
    for stack in found:
        parameters = {
            name: prefix_list(service)
            for name, service in PREFIX_LISTS.items()
            if name in stack.parameters
        }
        if stack.part == "compute":
            parameters["Release"] = release = upload(outputs["releases"]["BucketName"])
        outputs[stack.part] = formation.put(stack, parameters)
    prefix = found[0].name.removesuffix(found[0].part)
    for part in OPTIONAL:
        if part not in outputs:
            formation.remove_unused(prefix + part)
    formation.tell(f"release: {release} (the hash to go back to it with)")
    return outputs
