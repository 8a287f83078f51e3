"""A deployment that broke off, or failed, is gone on with by the same command, and says why."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber

from deploy.aws.assembly import Made
from deploy.aws.deploying import DeploymentError, Formation, deploy

NAME = "storekeeper-test-data"
ID = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{NAME}/1"
CHANGES = f"arn:aws:cloudformation:eu-west-1:123456789012:changeSet/{NAME}/1"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ALARM = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:update-faults"
TABLE = "AWS::DynamoDB::Table"
# When all of the stack is there.
ON = {"Fn::If": ["IsGuarded", True, False]}
STACK = Made(NAME, "data", json.dumps({"Resources": {}}), is_protected=True)


def guarded(**tables: object) -> Made:
    """A stack with these tables; whether each refuses to be deleted."""
    resources = {
        name: {"Type": TABLE, "Properties": {"DeletionProtectionEnabled": protection}}
        for name, protection in tables.items()
    }
    template = {"Resources": resources, "Parameters": {"Guarded": {}}}
    return STACK._replace(template=json.dumps(template, separators=(",", ":")))


class CloudFormation:
    """A client whose answers are set beforehand, in the order in which they are asked for."""

    def __init__(self, *, despite_alarms: bool = False) -> None:
        self.client = botocore.session.get_session().create_client(
            "cloudformation",
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.stub = Stubber(self.client)
        self.tokens: list[str] = []
        self.told: list[str] = []
        self.formation = Formation(
            self.client, self.told.append, despite_alarms=despite_alarms, poll_seconds=0
        )
        self.client.meta.events.register(
            "provide-client-params.cloudformation.ExecuteChangeSet",
            lambda params, **_: self.tokens.append(params["ClientRequestToken"]),
        )

    def is_(self, *statuses: str | None) -> None:
        """What is told of the stack, each time that it is asked for; None: there is none."""
        for status in statuses:
            if status is None:
                self.stub.add_client_error(
                    "describe_stacks", "ValidationError", f"Stack with id {NAME} does not exist"
                )
            else:
                stack = {"StackName": NAME, "StackStatus": status, "CreationTime": NOW}
                self.stub.add_response("describe_stacks", {"Stacks": [stack]})

    def is_watched(self) -> None:
        """It is told once of the stack that it has an alarm which takes updates back."""
        there = {"StackName": NAME, "StackStatus": "UPDATE_COMPLETE", "CreationTime": NOW}
        named = [{"OutputKey": "RollbackAlarms", "OutputValue": ALARM}]
        self.stub.add_response("describe_stacks", {"Stacks": [{**there, "Outputs": named}]})

    def has(self, **resources: str) -> None:
        """What is told of the stack's resources: types by name."""
        found = [
            {
                "LogicalResourceId": name,
                "ResourceType": kind,
                "ResourceStatus": "CREATE_COMPLETE",
                "LastUpdatedTimestamp": NOW,
            }
            for name, kind in resources.items()
        ]
        self.stub.add_response("list_stack_resources", {"StackResourceSummaries": found})

    def changes(
        self,
        kind: str,
        *,
        rollback: list[dict[str, str]] | None = None,
        stack: Made | None = None,
        **parameters: str,
    ) -> None:
        """A change set of this kind and with these parameters is made and executed, with the template
        of `stack`. `rollback`: what takes it back."""
        wanted: dict[str, Any] = {
            "StackName": NAME,
            "ChangeSetName": ANY,
            "ChangeSetType": kind,
            "TemplateBody": stack.template if stack else ANY,
            "Capabilities": ANY,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        }
        if rollback is not None:
            watched = {"RollbackTriggers": rollback, "MonitoringTimeInMinutes": ANY}
            wanted["RollbackConfiguration"] = watched
        self.stub.add_response("create_change_set", {"Id": CHANGES, "StackId": ID}, wanted)
        made = {"ChangeSetId": CHANGES, "Status": "CREATE_COMPLETE", "Changes": []}
        self.stub.add_response("describe_change_set", made)
        self.stub.add_response("execute_change_set", {})

    def protects(self, *, by: bool = True) -> None:
        wanted = {"StackName": NAME, "EnableTerminationProtection": by}
        self.stub.add_response("update_termination_protection", {"StackId": ID}, wanted)


@pytest.fixture
def aws() -> Iterator[CloudFormation]:
    made = CloudFormation()
    with made.stub:
        yield made
        made.stub.assert_no_pending_responses()


def test_a_first_try_that_was_taken_back_is_removed_and_made_again(aws: CloudFormation) -> None:
    aws.is_("ROLLBACK_COMPLETE")
    aws.stub.add_response("delete_stack", {}, {"StackName": NAME})
    aws.is_("DELETE_IN_PROGRESS", None, None)
    aws.changes("CREATE")
    aws.is_("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_COMPLETE")
    aws.protects()
    aws.is_("CREATE_COMPLETE")
    assert aws.formation.put(STACK, {}) == {}


@pytest.mark.parametrize(
    ("under_way", "end", "kind"),
    [
        ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE"),
        ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "UPDATE"),
        ("DELETE_IN_PROGRESS", None, "CREATE"),
    ],
)
def test_what_is_under_way_is_waited_for(
    aws: CloudFormation, under_way: str, end: str | None, kind: str
) -> None:
    aws.is_(under_way, under_way, end, end)
    aws.changes(kind)
    aws.is_(f"{kind}_COMPLETE", f"{kind}_COMPLETE")
    aws.protects()
    aws.is_(f"{kind}_COMPLETE")
    aws.formation.put(STACK, {})
    assert aws.told[0] == f"{NAME}: {under_way}, waiting for its end"


def test_a_name_without_a_stack_is_no_stack(aws: CloudFormation) -> None:
    """What a change set leaves behind that was never executed."""
    aws.is_("REVIEW_IN_PROGRESS")
    aws.changes("CREATE")
    aws.is_("CREATE_COMPLETE", "CREATE_COMPLETE")
    aws.protects()
    aws.is_("CREATE_COMPLETE")
    aws.formation.put(STACK, {})


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("ROLLBACK_FAILED", "delete-stack"),
        ("DELETE_FAILED", "delete-stack"),
    ],
)
def test_what_only_people_can_mend_is_told_with_how(
    aws: CloudFormation, status: str, remedy: str
) -> None:
    aws.is_(status)
    with pytest.raises(DeploymentError, match=rf"{NAME} is {status}.*{remedy} --stack-name {NAME}"):
        aws.formation.put(STACK, {})


def test_a_new_stack_refuses_to_be_deleted_only_when_all_of_it_is_there(
    aws: CloudFormation,
) -> None:
    """A first try that fails could not be taken back otherwise."""
    aws.is_(None)
    aws.changes("CREATE", stack=guarded(Commits=False, Users=False), Guarded="true")
    aws.is_("CREATE_COMPLETE", "CREATE_COMPLETE")
    aws.changes("UPDATE", stack=guarded(Commits=ON, Users=ON), Guarded="true")
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.protects()
    aws.is_("UPDATE_COMPLETE")
    aws.formation.put(guarded(Commits=ON, Users=ON), {})


def test_what_an_update_adds_refuses_to_be_deleted_only_when_it_is_there(
    aws: CloudFormation,
) -> None:
    """Else an update that fails would leave a table whose name the next finds taken. What was there
    keeps its guard meanwhile."""
    aws.is_("UPDATE_COMPLETE")
    aws.has(Commits=TABLE)
    aws.changes("UPDATE", stack=guarded(Commits=ON, Users=False), Guarded="true")
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.changes("UPDATE", stack=guarded(Commits=ON, Users=ON), Guarded="true")
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.protects()
    aws.is_("UPDATE_COMPLETE")
    aws.formation.put(guarded(Commits=ON, Users=ON), {})


def test_a_stack_whose_making_was_broken_off_is_protected_though_nothing_changes(
    aws: CloudFormation,
) -> None:
    aws.is_("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_COMPLETE")
    aws.stub.add_response("create_change_set", {"Id": CHANGES, "StackId": ID})
    nothing = {
        "Status": "FAILED",
        "StatusReason": "The submitted information didn't contain changes.",
    }
    aws.stub.add_response("describe_change_set", nothing)
    aws.stub.add_response("delete_change_set", {})
    aws.protects()
    aws.is_("CREATE_COMPLETE")
    aws.formation.put(STACK, {})
    assert aws.told[-1] == f"{NAME}: as it was"


def test_a_stack_that_is_there_is_never_without_its_guard(aws: CloudFormation) -> None:
    stack = guarded(Commits=ON)
    aws.is_("UPDATE_ROLLBACK_COMPLETE")
    aws.has(Commits=TABLE)
    aws.changes("UPDATE", stack=stack, Release="1", Guarded="true")
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.protects()
    aws.is_("UPDATE_COMPLETE")
    aws.formation.put(stack, {"Release": "1"})


def test_what_is_switched_off_and_holds_nothing_is_removed(aws: CloudFormation) -> None:
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.has(Valkey="AWS::ElastiCache::ServerlessCache")
    aws.protects(by=False)
    aws.stub.add_response("delete_stack", {}, {"StackName": NAME, "ClientRequestToken": ANY})
    aws.is_("DELETE_IN_PROGRESS", None, None)
    aws.formation.remove_unused(NAME)


@pytest.mark.parametrize("statuses", [(None,), ("DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS", None)])
def test_what_is_gone_already_needs_no_removing(
    aws: CloudFormation, statuses: tuple[str | None, ...]
) -> None:
    """Or goes, as a run before began it and was broken off."""
    aws.is_(*statuses)
    aws.formation.remove_unused(NAME)


def test_a_removal_that_failed_is_told(aws: CloudFormation) -> None:
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.has(Valkey="AWS::ElastiCache::ServerlessCache")
    aws.protects(by=False)
    aws.stub.add_response("delete_stack", {})
    aws.is_("DELETE_FAILED", "DELETE_FAILED", "DELETE_FAILED")
    aws.stub.add_response("describe_stack_events", {"StackEvents": []})
    with pytest.raises(DeploymentError, match=f"{NAME} is DELETE_FAILED"):
        aws.formation.remove_unused(NAME)


def test_what_is_switched_off_and_holds_data_stays(aws: CloudFormation) -> None:
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.has(Pool="AWS::Cognito::UserPool", AppClient="AWS::Cognito::UserPoolClient")
    aws.formation.remove_unused(NAME)
    assert aws.told == [f"{NAME}: not used any more; it stays, as Pool may hold data"]


def test_an_update_goes_back_by_the_alarms_that_the_stack_names(aws: CloudFormation) -> None:
    """Else a release that answers with errors would stay."""
    aws.is_watched()
    aws.changes("UPDATE", rollback=[{"Arn": ALARM, "Type": "AWS::CloudWatch::Alarm"}])
    aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
    aws.protects()
    aws.is_("UPDATE_COMPLETE")
    aws.formation.put(STACK, {})


def test_an_update_that_mends_what_rings_is_not_taken_back_by_it() -> None:
    """With no word of alarms CloudFormation would take those of the update before."""
    aws = CloudFormation(despite_alarms=True)
    with aws.stub:
        aws.is_watched()
        aws.changes("UPDATE", rollback=[])
        aws.is_("UPDATE_COMPLETE", "UPDATE_COMPLETE")
        aws.protects()
        aws.is_("UPDATE_COMPLETE")
        aws.formation.put(STACK, {})
        aws.stub.assert_no_pending_responses()


def test_a_stack_is_told_the_addresses_that_it_asks_for(aws: CloudFormation) -> None:
    """Without them machines would reach neither tables nor files, or could reach everything."""
    wanted = {"DynamoDbAddresses": {"Type": "String"}, "S3Addresses": {"Type": "String"}}
    stack = STACK._replace(template=json.dumps({"Resources": {}, "Parameters": wanted}))
    aws.is_(None)
    aws.changes("CREATE", stack=stack, DynamoDbAddresses="pl-dynamodb", S3Addresses="pl-s3")
    aws.is_("CREATE_COMPLETE", "CREATE_COMPLETE")
    aws.protects()
    aws.is_("CREATE_COMPLETE", None, None)
    deploy(
        aws.formation,
        [stack],
        upload=lambda bucket: "0" * 64,
        prefix_list=lambda service: f"pl-{service}",
    )


@pytest.mark.parametrize(
    "change", [{"Action": "Remove"}, {"Action": "Modify", "Replacement": "True"}]
)
@pytest.mark.parametrize(
    "kind",
    [TABLE]
    + [
        f"AWS::{one}"
        for one in (
            "S3::Bucket",
            "Cognito::UserPool",
            "SecretsManager::Secret",
            "Backup::BackupVault",
            "KMS::Key",
        )
    ],
)
def test_what_holds_data_is_neither_removed_nor_made_anew(
    aws: CloudFormation, kind: str, change: dict[str, str]
) -> None:
    aws.is_("UPDATE_COMPLETE")
    aws.stub.add_response("create_change_set", {"Id": CHANGES, "StackId": ID})
    table = {"LogicalResourceId": "Commits", "ResourceType": kind, **change}
    made = {
        "ChangeSetId": CHANGES,
        "Status": "CREATE_COMPLETE",
        "Changes": [{"Type": "Resource", "ResourceChange": table}],
    }
    aws.stub.add_response("describe_change_set", made)
    aws.stub.add_response("delete_change_set", {})
    with pytest.raises(DeploymentError, match="remove or make anew Commits"):
        aws.formation.put(STACK, {})


def test_the_cause_is_this_updates_and_not_one_of_last_month(aws: CloudFormation) -> None:
    def event(name: str, token: str, reason: str = "", status: str = "CREATE_FAILED") -> Any:
        return {
            "StackId": ID,
            "EventId": name,
            "StackName": NAME,
            "Timestamp": NOW,
            "LogicalResourceId": name,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ClientRequestToken": token,
        }

    aws.is_("UPDATE_COMPLETE")
    aws.changes("UPDATE")
    aws.is_("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")

    def answer() -> None:
        ours = aws.tokens[-1]
        pages = [
            [
                event("Stack", ours, status="UPDATE_ROLLBACK_COMPLETE"),
                event("B", ours, "cancelled"),
            ],
            [event("A", ours, "no such key"), event("Old", "of-last-month", "a failure")],
        ]
        aws.stub.add_response(
            "describe_stack_events", {"StackEvents": pages[0], "NextToken": "more"}
        )
        aws.stub.add_response("describe_stack_events", {"StackEvents": pages[1]})

    # The token is known when the change set is executed, so that is when the events are set.
    aws.client.meta.events.register(
        "after-call.cloudformation.ExecuteChangeSet", lambda **_: answer()
    )
    with pytest.raises(DeploymentError) as failed:
        aws.formation.put(STACK, {})
    assert str(failed.value) == f"{NAME} is UPDATE_ROLLBACK_COMPLETE: A: no such key"
