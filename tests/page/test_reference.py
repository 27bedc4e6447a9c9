"""``/docs`` in a real browser: it comes up, lists what there is, asks nobody else, and can be tried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from selenium.webdriver.common.by import By

from tests.support.browser import PHONE, WIDE, Browser
from tests.support.process import ROOT
from tests.support.site import Site, running
from tests.support.wait import until

OPERATIONS = {
    operation["operationId"]
    for path in yaml.safe_load((ROOT / "openapi.yaml").read_text())["paths"].values()
    for operation in path.values()
    if isinstance(operation, dict)
}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("documented"), api_docs="on") as made:
        yield made


def listed(page: Browser) -> set[str]:
    """The operations on the page, once it is there."""
    blocks = until(lambda: page.all(".opblock"), what="the operations are listed", seconds=60)
    return {(block.get_attribute("id") or "").rpartition("-")[2] for block in blocks}


def test_every_operation_is_listed_and_nothing_comes_from_elsewhere(
    page: Browser, documented: Site, pictures: Path
) -> None:
    page.go(f"{documented.url}/docs")
    assert listed(page) == OPERATIONS
    for name, size in (("wide", WIDE), ("phone", PHONE)):
        page.look(size)
        page.picture(pictures / f"docs-{name}-light.png", whole=False)
    asked = page.weight()
    assert len(asked) == 5
    assert all(place.startswith(f"{documented.url}/docs/") for place in asked), asked
    assert page.complaints() == []


def test_an_operation_can_be_tried_at_the_service_that_the_page_comes_from(page: Browser, documented: Site) -> None:
    page.go(f"{documented.url}/docs/")
    listed(page)
    block = page.one("#operations-health-healthz")
    block.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    until(lambda: block.find_elements(By.CSS_SELECTOR, ".try-out__btn"), what="it is open")
    block.find_element(By.CSS_SELECTOR, ".try-out__btn").click()
    until(lambda: block.find_elements(By.CSS_SELECTOR, ".execute"), what="it can be sent")[0].click()
    answer = until(lambda: block.find_elements(By.CSS_SELECTOR, ".live-responses-table"), what="the answer", seconds=30)
    assert f"{documented.url}/healthz" in block.text
    assert '"status": "ok"' in answer[0].text
    assert page.complaints() == []
