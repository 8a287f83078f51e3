"""The door: an HTTP API with a route for each of the application's, into the private network.

What isn't a route of the application is refused here and reaches no machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as dns
from constructs import Construct

from deploy.aws.fixed import CLIENT_HEADER
from deploy.aws.routes import Route
from deploy.aws.settings import Environment
from deploy.aws.stacks.base import Stack, accept
from deploy.aws.stacks.compute import Compute
from deploy.aws.stacks.identity import Identity
from deploy.aws.stacks.network import Network, retention

# Requests a second, and at once, of all clients together; and of each route that costs most.
RATE, BURST = 2_000, 4_000
COSTLY_RATE, COSTLY_BURST = 20, 40
TIMEOUT_MS = 30_000
HEADERS = ("authorization", "content-type", "idempotency-key", "if-match", "if-none-match")
SHOWN = ("etag", "link", "location", "retry-after", "x-request-id", "idempotent-replayed")
LOGGED = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "route": "$context.routeKey",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
    "shopMs": "$context.integrationLatency",
    "shopStatus": "$context.integrationStatus",
    "refused": "$context.authorizer.error",
    "error": "$context.error.message",
}
REASON = "Registering, logging in and looking around need no token; the shop checks the others."


class Gateway(Stack):
    """API, link, routes, stage, domain."""

    def __init__(
        self,
        scope: Construct,
        given: Environment,
        *,
        network: Network,
        compute: Compute,
        identity: Identity | None,
        routes: Sequence[Route],
    ) -> None:
        super().__init__(scope, "gateway", given, about="the public door")
        self.api = gateway.CfnApi(
            self,
            "Api",
            name=f"{given.prefix}shop",
            protocol_type="HTTP",
            disable_execute_api_endpoint=True,
            cors_configuration=_cors(given),
        )
        target = self._integration(network, compute)
        authorizer = (
            self._authorizer(identity) if identity and given.cognito == "required" else None
        )
        self.routes = [self._route(one, target, authorizer) for one in routes]
        self.stage = self._stage([one.key for one in routes if one.is_costly])
        self._domain(compute.front.certificate.ref)
        self.output("Address", f"https://{given.domain}", "where customers reach the shop")
        self.output("ApiId", self.api.ref, "of the HTTP API")

    def _integration(self, network: Network, compute: Compute) -> str:
        link = gateway.CfnVpcLink(
            self,
            "Link",
            name=f"{self.given.prefix}shop",
            subnet_ids=network.machine_subnets.subnet_ids,
            security_group_ids=[network.link.security_group_id],
        )
        made = gateway.CfnIntegration(
            self,
            "Shop",
            api_id=self.api.ref,
            integration_type="HTTP_PROXY",
            integration_method="ANY",
            integration_uri=compute.front.listener.ref,
            connection_type="VPC_LINK",
            connection_id=link.ref,
            payload_format_version="1.0",
            timeout_in_millis=TIMEOUT_MS,
            # Whatever a client wrote there itself is replaced.
            request_parameters={f"overwrite:header.{CLIENT_HEADER}": "$context.identity.sourceIp"},
            tls_config=gateway.CfnIntegration.TlsConfigProperty(
                server_name_to_verify=self.given.domain
            ),
        )
        return f"integrations/{made.ref}"

    def _authorizer(self, identity: Identity) -> gateway.CfnAuthorizer:
        return gateway.CfnAuthorizer(
            self,
            "People",
            api_id=self.api.ref,
            name="people-of-the-pool",
            authorizer_type="JWT",
            identity_source=["$request.header.Authorization"],
            jwt_configuration=gateway.CfnAuthorizer.JWTConfigurationProperty(
                issuer=identity.issuer, audience=[identity.client.ref]
            ),
        )

    def _route(
        self, route: Route, target: str, authorizer: gateway.CfnAuthorizer | None
    ) -> gateway.CfnRoute:
        guarded = authorizer is not None and route.needs_login
        made = gateway.CfnRoute(
            self,
            _logical(route.key),
            api_id=self.api.ref,
            route_key=route.key,
            target=target,
            authorization_type="JWT" if guarded else "NONE",
            authorizer_id=authorizer.ref if authorizer is not None and guarded else None,
        )
        if not guarded:
            accept(made, "AwsSolutions-APIG4", REASON)
        return made

    def _stage(self, costly: Sequence[str]) -> gateway.CfnStage:
        group = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/storekeeper/{self.given.name}/gateway",
            retention=retention(self.given),
            removal_policy=self.kept,
        )
        kind = gateway.CfnStage
        stage = kind(
            self,
            "Stage",
            api_id=self.api.ref,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings=kind.AccessLogSettingsProperty(
                destination_arn=group.log_group_arn, format=json.dumps(LOGGED)
            ),
            default_route_settings=kind.RouteSettingsProperty(
                detailed_metrics_enabled=False,
                throttling_rate_limit=RATE,
                throttling_burst_limit=BURST,
            ),
            route_settings={
                key: {"ThrottlingRateLimit": COSTLY_RATE, "ThrottlingBurstLimit": COSTLY_BURST}
                for key in costly
            },
        )
        for route in self.routes:
            stage.node.add_dependency(route)
        return stage

    def _domain(self, certificate: str) -> None:
        given = self.given
        domain = gateway.CfnDomainName(
            self,
            "Domain",
            domain_name=given.domain,
            domain_name_configurations=[
                gateway.CfnDomainName.DomainNameConfigurationProperty(
                    certificate_arn=certificate,
                    endpoint_type="REGIONAL",
                    security_policy="TLS_1_2",
                )
            ],
        )
        gateway.CfnApiMapping(
            self, "Mapping", api_id=self.api.ref, domain_name=domain.ref, stage=self.stage.ref
        )
        for kind in ("A", "AAAA"):
            dns.CfnRecordSet(
                self,
                f"Record{kind}",
                hosted_zone_id=given.hosted_zone,
                name=given.domain,
                type=kind,
                alias_target=dns.CfnRecordSet.AliasTargetProperty(
                    dns_name=domain.attr_regional_domain_name,
                    hosted_zone_id=domain.attr_regional_hosted_zone_id,
                ),
            )


def _cors(given: Environment) -> gateway.CfnApi.CorsProperty | None:
    if not given.cors_origins:
        return None
    return gateway.CfnApi.CorsProperty(
        allow_origins=list(given.cors_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=list(HEADERS),
        expose_headers=list(SHOWN),
        max_age=cdk.Duration.hours(1).to_seconds(),
    )


def _logical(key: str) -> str:
    """A name for the template, of the route alone, so that other routes don't change it."""
    words = "".join(letter if letter.isalnum() else " " for letter in key).split()
    parameters = "With" if "{" in key.rpartition("/")[2] else ""
    return "Route" + "".join(word.capitalize() for word in words) + parameters
