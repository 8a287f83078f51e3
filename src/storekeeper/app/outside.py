"""What a shop has outside itself, where settings name it: user pool, topics, CloudWatch, cache."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from storekeeper.config import Settings, SettingsError
from storekeeper.config.extras import more_packages
from storekeeper.identity.outside import Outside, OutsideTokens
from storekeeper.media.folder import Folder
from storekeeper.media.port import Pictures
from storekeeper.services.outside_accounts import OutsideAccounts
from storekeeper.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from storekeeper.app.shop import Shop
    from storekeeper.notify.sns.opening import SnsChannels
from storekeeper.app.clock import Clock, utc_now


def outside_of(settings: Settings, welcome: OutsideAccounts, clock: Clock) -> Outside | None:
    """The identity provider beside the shop's own accounts, where the settings name one."""
    if not settings.cognito_user_pool_id:
        return None
    tokens: OutsideTokens = _cognito().CognitoTokens(
        settings.cognito_user_pool_id,
        client_ids=settings.cognito_client_ids,
        roles=settings.cognito_roles,
        clock=clock,
        jwks_url=settings.cognito_jwks_url,
        audience=settings.public_url,
    )
    return Outside(tokens=tokens, welcome=welcome)


def check_provider(settings: Settings) -> None:
    """Asks for the identity provider's keys once, before anything is served.

    Raises `SettingsError` where there is no such provider. One that can't be reached at the moment
    doesn't keep the shop closed. Not to be called in an event loop.
    """
    if not settings.cognito_user_pool_id:
        return
    why_not = asyncio.run(
        _cognito().check_pool(
            settings.cognito_user_pool_id, settings.cognito_jwks_url, clock=utc_now
        )
    )
    if why_not:
        raise SettingsError(
            f"cognito_user_pool_id = {settings.cognito_user_pool_id!r} has no keys: {why_not}; "
            "check the pool's id"
        )


def _cognito() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.identity import cognito
    except ModuleNotFoundError as error:
        raise more_packages("cognito_user_pool_id needs", error, extra="aws") from error
    return cognito


def pictures_of(settings: Settings) -> Pictures:
    """Where pictures are kept: the bucket that the settings name, or a folder beside the file."""
    if not settings.image_bucket:
        return Folder(settings.data_dir / "images")
    try:
        from storekeeper.media import s3
    except ModuleNotFoundError as error:
        raise more_packages("image_bucket needs", error, extra="aws") from error
    return s3.Bucket(
        settings.image_bucket,
        region=settings.aws_region,
        endpoint=settings.image_endpoint_url,
        profile=settings.aws_profile,
    )


def watch_of(shop: Shop) -> Any:
    """Who sends the shop's figures to CloudWatch, where the settings name a namespace."""
    settings = shop.settings
    if not settings.cloudwatch_namespace:
        return None
    try:
        from storekeeper.telemetry.cloudwatch import client, watch
    except ModuleNotFoundError as error:
        raise more_packages("cloudwatch_namespace needs", error, extra="aws") from error
    return watch.Watch(
        metrics=shop.metrics,
        gauges=shop.gauges,
        leads=lambda: shop.background.leads,
        client=client.Client(
            settings.cloudwatch_namespace,
            region=settings.aws_region,
            endpoint=settings.cloudwatch_endpoint_url or settings.aws_endpoint_url,
            profile=settings.aws_profile,
        ),
        clock=shop.tools.clock,
        seconds=settings.cloudwatch_seconds,
        node=settings.cloudwatch_node,
        flush_seconds=min(watch.FLUSH_S, settings.shutdown_seconds),
    )


def sns_of(settings: Settings, store: SqliteStore) -> SnsChannels | None:
    """The channels of the topics that the settings name, where they name some."""
    if not _has_topics(settings):
        return None
    channels: SnsChannels = _sns().SnsChannels(settings, store)
    return channels


def create_topics(settings: Settings) -> list[str]:
    """Makes the topics that the settings name; a sentence for each thing that was done. Not to be
    called in an event loop."""
    made: list[str] = _sns().make_topics(settings) if _has_topics(settings) else []
    return made


def check_topics(settings: Settings) -> None:
    """Looks for the topics once, before anything is served; raises `SettingsError` where they
    can't be used. Not to be called in an event loop."""
    if _has_topics(settings):
        _sns().check_topics(settings)


def _has_topics(settings: Settings) -> bool:
    return bool(settings.sns_orders_topic or settings.sns_stock_topic)


def _sns() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.notify.sns import opening
    except ModuleNotFoundError as error:
        raise more_packages(
            "sns_orders_topic and sns_stock_topic need", error, extra="aws"
        ) from error
    return opening


def _valkey() -> Any:
    """The adapter, which needs packages that a shop of one machine doesn't have."""
    try:
        from storekeeper.cache import valkey
    except ModuleNotFoundError as error:
        raise more_packages("cache_url needs", error, extra="valkey") from error
    return valkey
