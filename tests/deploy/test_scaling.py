"""There are as many machines as customers need, by what the deployment asks of Auto Scaling."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.aws.fixed import REQUESTS_A_MINUTE
from tests.deploy.templates import Assembly


def policies(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """What is looked at, by the name of the figure."""
    found = {}
    for one in assembly.of_type("compute", "AutoScaling::ScalingPolicy").values():
        target = one["TargetTrackingConfiguration"]
        found[target["PredefinedMetricSpecification"]["PredefinedMetricType"]] = one
    return found


@pytest.mark.parametrize(
    ("figure", "target"),
    [("ASGAverageCPUUtilization", 50), ("ALBRequestCountPerTarget", REQUESTS_A_MINUTE)],
)
def test_more_customers_get_more_machines(full: Assembly, figure: str, target: int) -> None:
    """Else a sale fills up the machines that are there, and customers wait or are refused."""
    found = policies(full)[figure]
    (group,) = full.of_type("compute", "AutoScaling::AutoScalingGroup")
    assert found["AutoScalingGroupName"] == {"Ref": group}
    assert found["PolicyType"] == "TargetTrackingScaling"
    tracking = found["TargetTrackingConfiguration"]
    assert tracking["TargetValue"] == target
    # Fewer customers get fewer machines, too: idle ones would be paid for until somebody looks.
    assert not tracking.get("DisableScaleIn")


def test_there_is_no_other_opinion_on_how_many_machines_there_are(full: Assembly) -> None:
    """A third policy would keep machines that nobody meant to pay for."""
    assert policies(full).keys() == {"ASGAverageCPUUtilization", "ALBRequestCountPerTarget"}
    assert len(full.of_type("compute", "AutoScaling::ScalingPolicy")) == 2


def test_requests_are_counted_where_they_arrive(full: Assembly) -> None:
    """The label of another balancer or group has no figures: nothing would ever scale by them."""
    tracking = policies(full)["ALBRequestCountPerTarget"]["TargetTrackingConfiguration"]
    (balancer,) = full.of_type("compute", "ElasticLoadBalancingV2::LoadBalancer")
    (targets,) = full.of_type("compute", "ElasticLoadBalancingV2::TargetGroup")
    assert tracking["PredefinedMetricSpecification"]["ResourceLabel"] == {
        "Fn::Join": [
            "",
            [
                {"Fn::GetAtt": [balancer, "LoadBalancerFullName"]},
                "/",
                {"Fn::GetAtt": [targets, "TargetGroupFullName"]},
            ],
        ]
    }
    group = full.the("compute", "AutoScaling::AutoScalingGroup")
    assert group["TargetGroupARNs"] == [{"Ref": targets}]


def test_there_is_room_to_grow(full: Assembly, least: Assembly) -> None:
    for assembly in (full, least):
        group = assembly.the("compute", "AutoScaling::AutoScalingGroup")
        assert 2 <= int(group["MinSize"]) < int(group["MaxSize"])
