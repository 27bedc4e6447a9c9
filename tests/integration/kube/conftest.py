"""A Kubernetes API of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import kubeapi
from tests.support.kubeapi import KubeApi


@pytest.fixture
def api() -> Iterator[KubeApi]:
    found = KubeApi()
    with kubeapi.running(found):
        yield found
