"""``GET /v1/models`` compressed, through the real application and its server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest
import yaml

from maas_api.app import build
from maas_api.config import load
from tests.support.objects import registry
from tests.support.serving import serving

CALLER = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["ml"]', "Authorization": "Bearer checked"}
PATHS = ("/v1/models", "/v1/model/info")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("listing")
    entries = [{"id": f"model-{number}", "provider": "openai"} for number in range(200)]
    models = folder / "manifests"
    models.mkdir()
    (models / "registry.yaml").write_text(yaml.safe_dump(registry(yaml.safe_dump(entries))))
    flags = {"sqlite_path": str(folder / "keys.db"), "manifests": str(models), "kubernetes": "off"}
    with serving(build(load(flags, {}))) as url:
        yield url


def get(base: str, path: str, **headers: str) -> httpx.Response:
    """The answer with its body as it came over the wire."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(base_url=base) as client:
        request = client.build_request("GET", path, headers={"Accept-Encoding": "", **CALLER, **named})
        answer = client.send(request, stream=True)
        answer._content = b"".join(answer.iter_raw())
        return answer


@pytest.mark.parametrize("path", PATHS)
def test_who_accepts_gzip_gets_the_same_models_in_fewer_bytes(base: str, path: str) -> None:
    plain, packed = get(base, path), get(base, path, Accept_Encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 4
    assert packed.headers["content-type"] == plain.headers["content-type"]


def test_caches_are_told_that_forms_differ_and_each_has_its_tag(base: str) -> None:
    plain, packed = get(base, "/v1/models"), get(base, "/v1/models", Accept_Encoding="gzip")
    assert plain.headers["etag"] != packed.headers["etag"]
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["vary"]
        assert "Authorization" in answer.headers["vary"]


@pytest.mark.parametrize("held", ["", "gzip"])
@pytest.mark.parametrize("path", PATHS)
def test_whoever_holds_a_form_it_still_accepts_is_answered_304_with_that_form_s_tag(
    base: str, path: str, held: str
) -> None:
    tag = get(base, path, Accept_Encoding=held).headers["etag"]
    again = get(base, path, Accept_Encoding="gzip", If_None_Match=f'"old", W/{tag}')
    assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
    assert "content-encoding" not in again.headers


def test_whoever_holds_a_form_it_does_not_accept_any_more_gets_the_body(base: str) -> None:
    tag = get(base, "/v1/models", Accept_Encoding="gzip").headers["etag"]
    again = get(base, "/v1/models", If_None_Match=tag)
    assert again.status_code == 200
    assert len(json.loads(again.content)["data"]) == 200


def test_a_page_in_anthropic_s_shape_is_compressed_too(base: str) -> None:
    asked = {"Anthropic_Version": "2023-06-01", "Accept_Encoding": "gzip"}
    answer = get(base, "/v1/models?limit=150", **asked)
    assert len(json.loads(gzip.decompress(answer.content))["data"]) == 150
