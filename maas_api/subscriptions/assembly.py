"""Subscriptions over the sources of the settings."""

from __future__ import annotations

from dataclasses import dataclass

from maas_api.config import Settings
from maas_api.kube.objects import MAAS_AUTH_POLICY, MAAS_MODEL_REF, MAAS_SUBSCRIPTION
from maas_api.kube.sources import Sources
from maas_api.subscriptions.directory import Directory
from maas_api.subscriptions.follower import Follower
from maas_api.subscriptions.resolve import Resolver


@dataclass(frozen=True)
class Subscriptions:
    """What the composition root needs of the room."""

    directory: Directory
    resolver: Resolver
    follower: Follower


def build(settings: Settings, sources: Sources) -> Subscriptions:
    """The directory, what fills it, and which subscription a new key is bound to. Starts nothing."""
    directory = Directory(namespace=settings.maas_subscription_namespace)
    follower = Follower(
        directory,
        subscriptions=sources.of(MAAS_SUBSCRIPTION),
        policies=sources.of(MAAS_AUTH_POLICY),
        models=sources.of(MAAS_MODEL_REF),
        feeds=sources.feeds(MAAS_SUBSCRIPTION, MAAS_AUTH_POLICY),
        exists=lambda: sources.exists(MAAS_SUBSCRIPTION),
    )
    return Subscriptions(directory, Resolver(directory, settings.default_subscription), follower)
