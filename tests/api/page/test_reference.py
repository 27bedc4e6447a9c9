"""``/docs``: where it is, where it is not, and what it says of itself."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
import yaml
from flask.testing import FlaskClient

from maas_api.app import build
from maas_api.config import load
from tests.support.process import ROOT

ON_A_LAPTOP = {"sign_in": "true", "tokens_file": str(ROOT / "examples" / "tokens.yaml")}


def client(folder: Path, **flags: str) -> FlaskClient:
    base = {"sqlite_path": str(folder / "keys.db"), "kubernetes": "off", "manifests": str(folder)}
    return build(load(base | flags, {})).flask.test_client()


@pytest.mark.parametrize(
    ("flags", "status"),
    [({}, 404), ({"api_docs": "on"}, 200), (ON_A_LAPTOP, 200), (ON_A_LAPTOP | {"api_docs": "off"}, 404)],
    ids=["a cluster", "a cluster, asked for", "a laptop", "a laptop, switched off"],
)
@pytest.mark.parametrize("page", ["gateway", "off"])
def test_it_is_there_on_a_laptop_and_on_a_cluster_only_when_asked_for(
    tmp_path: Path, flags: dict[str, str], status: int, page: str
) -> None:
    shown = client(tmp_path, **flags, page=page)
    for place in ("/docs/", "/docs/openapi.json", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"):
        assert shown.get(place).status_code == status, place


def test_it_stands_behind_any_prefix(tmp_path: Path) -> None:
    """A gateway serves it below /maas-api, of which the service knows nothing: each address it gives is relative."""
    shown = client(tmp_path, api_docs="on")
    here = "https://gateway.example/maas-api/docs"
    here = urljoin(here, shown.get("/docs").headers["Location"])
    assert here == "https://gateway.example/maas-api/docs/"
    text = shown.get("/docs/").text
    places = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(places) == 5
    for place in places:
        if place != "data:,":
            path = urljoin(here, place).removeprefix("https://gateway.example/maas-api")
            assert shown.get(path).status_code == 200, place
    described = shown.get("/docs/openapi.json").get_json()
    (server,) = described["servers"]
    assert urljoin(f"{here}openapi.json", server["url"]) == "https://gateway.example/maas-api/"


def test_it_is_the_published_description_with_the_server_that_it_came_from(tmp_path: Path) -> None:
    described = client(tmp_path, api_docs="on").get("/docs/openapi.json").get_json()
    published = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    assert described | {"servers": published["servers"]} == published


@pytest.mark.parametrize("place", ["/docs", "/docs/", "/docs/openapi.json", "/docs/nothing", "/docs/reference.js"])
def test_every_answer_carries_its_defences(tmp_path: Path, place: str) -> None:
    headers = client(tmp_path, api_docs="on").get(place).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?:|\*", policy)
    assert headers["X-Frame-Options"] == "DENY"


def test_its_files_are_kept_by_the_browser_until_they_change(tmp_path: Path) -> None:
    shown = client(tmp_path, api_docs="on")
    for place in re.findall(r'(?:src|href)="([a-z.-]+\?v=[0-9a-f]+)"', shown.get("/docs/").text):
        assert "immutable" in shown.get(f"/docs/{place}").headers["Cache-Control"]
        old = httpx.URL(f"/docs/{place}").copy_set_param("v", "0")
        assert shown.get(str(old)).headers["Cache-Control"] == "no-cache"
