"""A user pool on one of the local engines, made and used through Cognito's own API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from storekeeper.identity.cognito import issuer_of
from tools.aws_local.services import client
from tools.engines.launch import CREDENTIALS

PASSWORD = "Correct-horse-battery-9"
ROLES = {"admins": "admin", "clerks": "staff"}


@dataclass(frozen=True)
class LogIn:
    """What the pool gives to somebody who has logged in."""

    access: str
    id: str
    refresh: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    @property
    def claims(self) -> dict[str, Any]:
        return claims_of(self.access)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


class EnginePool:
    """The pool and one app client, whose access tokens last a day."""

    def __init__(self, url: str) -> None:
        self.api = client("cognito-idp", {**CREDENTIALS, "AWS_ENDPOINT_URL": url})
        self.id: str = self.api.create_user_pool(PoolName="shop")["UserPool"]["Id"]
        self.issuer = issuer_of(self.id)
        self.jwks_url = f"{url}/{self.id}/.well-known/jwks.json"
        self.client_id = self.another_client()
        for group in ROLES:
            self.api.create_group(UserPoolId=self.id, GroupName=group)

    def another_client(self) -> str:
        made = self.api.create_user_pool_client(
            UserPoolId=self.id,
            ClientName="an app",
            ExplicitAuthFlows=[
                "ALLOW_USER_PASSWORD_AUTH",
                "ALLOW_ADMIN_USER_PASSWORD_AUTH",
                "ALLOW_REFRESH_TOKEN_AUTH",
            ],
            ReadAttributes=["email", "email_verified", "name"],
            AccessTokenValidity=24,
            TokenValidityUnits={"AccessToken": "hours"},
        )
        return str(made["UserPoolClient"]["ClientId"])

    def add(self, name: str, *groups: str) -> None:
        """Somebody with a password, a proven address and these groups."""
        attributes = {"email": f"{name}@example.com", "email_verified": "true", "name": name}
        self.api.admin_create_user(
            UserPoolId=self.id,
            Username=name,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": key, "Value": text} for key, text in attributes.items()],
        )
        self.api.admin_set_user_password(
            UserPoolId=self.id, Username=name, Password=PASSWORD, Permanent=True
        )
        for group in groups:
            self.of(name, "admin_add_user_to_group", GroupName=group)

    def of(self, name: str, operation: str, **more: Any) -> Any:
        """An operation of the API on somebody."""
        return getattr(self.api, operation)(UserPoolId=self.id, Username=name, **more)

    def log_in(self, name: str, client_id: str = "") -> LogIn:
        """As an application does it."""
        return _log_in(
            self.api.initiate_auth(
                AuthFlow="USER_PASSWORD_AUTH",
                ClientId=client_id or self.client_id,
                AuthParameters={"USERNAME": name, "PASSWORD": PASSWORD},
            )
        )

    def log_in_by_server(self, name: str) -> LogIn:
        """As the application's own server does it."""
        return _log_in(
            self.api.admin_initiate_auth(
                UserPoolId=self.id,
                AuthFlow="ADMIN_USER_PASSWORD_AUTH",
                ClientId=self.client_id,
                AuthParameters={"USERNAME": name, "PASSWORD": PASSWORD},
            )
        )

    def refreshed(self, before: LogIn) -> LogIn:
        """New tokens of the same log-in."""
        answer = self.api.initiate_auth(
            AuthFlow="REFRESH_TOKEN_AUTH",
            ClientId=self.client_id,
            AuthParameters={"REFRESH_TOKEN": before.refresh},
        )
        return _log_in(answer, before.refresh)

    def later(self, before: LogIn, name: str) -> LogIn:
        """A log-in of a later second: tokens tell no finer time."""
        while True:
            found = self.log_in(name)
            if found.claims["iat"] > before.claims["iat"]:
                return found


def _log_in(answer: Mapping[str, Any], refresh: str = "") -> LogIn:
    result = answer["AuthenticationResult"]
    return LogIn(result["AccessToken"], result["IdToken"], result.get("RefreshToken", refresh))


def settings_of(pool: EnginePool) -> dict[str, Any]:
    """Those of a shop that lets the pool's people in."""
    return {
        "cognito_user_pool_id": pool.id,
        "cognito_client_ids": (pool.client_id,),
        "cognito_groups": tuple(f"{group}={role}" for group, role in ROLES.items()),
        "cognito_jwks_url": pool.jwks_url,
    }
