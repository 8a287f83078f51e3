"""What went wrong with SNS, in words that say what to change, and whether trying again helps."""

from __future__ import annotations

from typing import Literal

import botocore.exceptions as failures
from botocore.parsers import ResponseParserError
from msgspec.structs import replace

from storekeeper.domain.types import Struct
from storekeeper.notify.port import Outcome, failed

# `message`: SNS will never take this one. `settings`: somebody has to change something, then it
# will. `credentials`: the same, and the client must look for others. `passing`: it will by itself.
Kind = Literal["message", "settings", "credentials", "passing"]
LONGEST = 300

_BUSY = frozenset(
    {
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "KMSThrottling",
        "SlowDown",
    }
)
_DENIED = frozenset({"AuthorizationError", "AccessDenied", "AccessDeniedException"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidSecurity",
        "UnrecognizedClientException",
        "MissingAuthenticationToken",
        "OptInRequired",
    }
)
_MISSIGNED = frozenset(
    {"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"}
)
_UNFIT = frozenset(
    {"InvalidParameter", "InvalidParameterException", "ParameterValueInvalid", "InvalidMessage"}
)
TOO_LONG = frozenset({"BatchRequestTooLong", "BatchRequestTooLongException"})
_MISSING = frozenset({"NotFound", "NotFoundException"})
# A call's failures in general; `told` knows those of SNS's way and of settings.
FAILURES = (
    failures.ClientError,
    failures.BotoCoreError,
    ResponseParserError,
    OSError,
    TimeoutError,
)
_NETWORK = (failures.ConnectionError, failures.HTTPClientError)


class Trouble(Struct, frozen=True, kw_only=True):
    kind: Kind
    text: str
    status_code: int | None = None
    is_missing: bool = False

    @property
    def outcome(self) -> Outcome:
        return failed(self.text, status_code=self.status_code, is_final=self.kind == "message")


def code_of(error: Exception) -> str:
    """The code that AWS gave, or an empty text."""
    if isinstance(error, failures.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def told(error: Exception, topic: str) -> Trouble:
    """About a call that failed as a whole."""
    if isinstance(error, failures.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        message = str(error.response.get("Error", {}).get("Message", ""))
        trouble = _of_code(code_of(error), message, topic)
        if trouble.kind == "message" and code_of(error) not in TOO_LONG:
            # Said of the whole call, it is about the topic; a message is refused by itself.
            trouble = replace(trouble, kind="settings")
        return replace(trouble, status_code=status)
    if isinstance(error, ResponseParserError):
        return Trouble(
            kind="settings",
            text="what answers there isn't SNS; check STOREKEEPER_AWS_ENDPOINT_URL",
        )
    if isinstance(error, failures.NoRegionError):
        return Trouble(
            kind="settings",
            text="no AWS region is set; set STOREKEEPER_AWS_REGION or AWS_REGION",
        )
    if isinstance(error, failures.ProfileNotFound):
        return Trouble(
            kind="credentials",
            text=f"{_short(str(error))}; check STOREKEEPER_AWS_PROFILE or AWS_PROFILE, and AWS's "
            "own files",
        )
    if isinstance(
        error,
        failures.NoCredentialsError
        | failures.PartialCredentialsError
        | failures.CredentialRetrievalError
        | failures.TokenRetrievalError
        | failures.SSOError,
    ):
        return Trouble(
            kind="credentials",
            text=f"no AWS credentials are found ({_short(str(error))}); give the machine a role, "
            "or set AWS_PROFILE",
        )
    if isinstance(error, TimeoutError):
        return Trouble(kind="passing", text="SNS didn't answer in time")
    if isinstance(error, failures.BotoCoreError) and not isinstance(error, _NETWORK):
        return Trouble(
            kind="settings",
            text=f"these AWS settings can't be used: {_short(str(error))}; check aws_region, "
            "aws_profile and aws_endpoint_url, and AWS's own files",
        )
    return Trouble(
        kind="passing",
        text=f"SNS can't be reached: {_short(str(error)) or type(error).__name__}; check the "
        "network and STOREKEEPER_AWS_ENDPOINT_URL",
    )


def told_of_entry(code: str, message: str, topic: str) -> Trouble:
    """About one message of a call that went well otherwise."""
    return _of_code(code, message, topic)


def too_large(size: int, limit: int) -> Trouble:
    return Trouble(
        kind="message", text=f"the message has {size:,} bytes, and SNS takes {limit:,} at most"
    )


def _of_code(code: str, message: str, topic: str) -> Trouble:
    why = f" ({_short(message)})" if message else ""
    if code in _BUSY:
        return Trouble(kind="passing", text=f"SNS asks for fewer messages{why}")
    if code in _DENIED:
        return Trouble(
            kind="settings",
            text=f"SNS doesn't allow it on the topic {topic}{why}; give the role the permissions "
            "that docs/sns.md lists",
        )
    if code in _MISSING:
        return Trouble(
            kind="settings",
            text=f"there is no topic {topic} for this account; run `storekeeper init`, or check the "
            "topic's name, STOREKEEPER_AWS_REGION and the account of the credentials",
            is_missing=True,
        )
    if code in _EXPIRED:
        return Trouble(
            kind="credentials",
            text=f"the AWS credentials have run out{why}; renew them, or use a role",
        )
    if code in _UNKNOWN:
        return Trouble(
            kind="credentials",
            text=f"SNS doesn't know these credentials{why}; check AWS_PROFILE or the role",
        )
    if code in _MISSIGNED:
        return Trouble(
            kind="credentials",
            text=f"SNS doesn't accept the signature{why}; check the secret key, and the machine's "
            "clock, which may be off by five minutes at most",
        )
    if code.startswith("KMS"):
        return Trouble(
            kind="settings",
            text=f"the key that encrypts the topic {topic} can't be used: {code}{why}; let the "
            "role use it (kms:GenerateDataKey, kms:Decrypt), or switch it on",
        )
    if code in _UNFIT:
        return Trouble(kind="message", text=f"SNS refuses it: {_short(message) or code}")
    if code in TOO_LONG:
        return Trouble(kind="message", text=f"the message is too large for the topic{why}")
    return Trouble(kind="passing", text=f"SNS failed: {code or 'no code'}{why}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
