"""Membership as the settings say: which source, which groups it decides, and who has left."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from maas_api.config import ConfigError, Settings
from maas_api.kube import sources as kube_sources
from maas_api.kube.objects import CONFIG_MAP, GROUP
from maas_api.kube.sources import Sources
from maas_api.membership.membership import Membership
from maas_api.membership.roster import Roster

_READ_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05


def build(settings: Settings, sources: Sources) -> Membership | None:
    """None where keys keep the groups they were minted with. Raises ConfigError without anything to read from."""
    if settings.live_groups == "off":
        return None
    kind = GROUP if settings.live_groups == "openshift" else CONFIG_MAP
    stores = sources.of(kind)
    if not stores:
        raise ConfigError("--live-groups (LIVE_GROUPS): needs a cluster or a folder of manifests, and none is set")
    wanted = None if kind is GROUP else (settings.namespace, settings.live_groups_configmap)

    def make(groups: Mapping[str, frozenset[str]], disabled: frozenset[str], before: Roster | None) -> Roster:
        patterns, all_listed = settings.live_groups_managed, settings.live_groups_owners == "listed"
        return Roster(groups, disabled, patterns=patterns, all_listed=all_listed, before=before)

    return Membership(stores, sources.feeds(kind), wanted, make)


def read_once(settings: Settings) -> Roster:
    """The roster as it is now, for a command. Raises ConfigError, also where it cannot be read in time."""
    off: dict[str, Any] = {
        field.name: "off" for field in dataclasses.fields(settings) if field.name.startswith("source_")
    }
    sources = kube_sources.build(dataclasses.replace(settings, **off), os.environ)
    membership = build(settings, sources)
    if membership is None:
        raise ConfigError("--live-groups (LIVE_GROUPS): is off; say which directory, openshift or configmap")
    for part in sources.background:
        part.start()
    try:
        ends = time.monotonic() + _READ_SECONDS
        while (roster := membership.roster) is None:
            if time.monotonic() > ends:
                raise ConfigError(
                    f"--live-groups (LIVE_GROUPS): the directory cannot be read: {membership.report()[1]}"
                )
            time.sleep(_LOOK_SECONDS)
        return roster
    finally:
        for part in sources.background:
            part.stop()
