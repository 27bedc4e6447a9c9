"""The gateway's root, as rendered: the body's model decides where a call goes, and nothing else does."""

from __future__ import annotations

import json

import pytest

from tests.support.rendered import CALLS, Cluster, Site, bearer, headers


@pytest.mark.parametrize("cluster", ["kuadrant", "istio"], indirect=True)
@pytest.mark.parametrize("provider", CALLS)
class TestOneUrl:
    """The gateway's root: each resource is the same for any number of models."""

    def test_a_call_arrives_as_by_the_providers_own_route(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        seen = []
        for place in (path, path.removeprefix(f"/external/{provider}"), path.removeprefix(f"/external/{provider}")):
            query = "?beta=true" if len(seen) == 2 else ""
            answer = cluster.client.post(place + query, json=body, headers=headers(site))
            assert answer.status_code == 200, answer.text
            seen.append(site.simulators[provider].received[-1])
        by_path, by_root, with_query = seen
        assert (by_root.method, by_root.path, by_root.body) == (by_path.method, by_path.path, by_path.body)
        assert {name.lower(): value for name, value in by_root.headers} == {
            name.lower(): value for name, value in by_path.headers
        }
        assert with_query.path == f"{by_path.path}?beta=true"
        assert site.key not in by_root.text()
        assert site.provider_keys[provider] in by_root.text()

    def test_a_large_body_and_a_stream_pass(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        large = {**body, "messages": [{"role": "user", "content": "x" * 5_000_000}], "stream": True}
        place = path.removeprefix(f"/external/{provider}")
        with cluster.client.stream("POST", place, json=large, headers=headers(site)) as answer:
            assert answer.status_code == 200
            assert len(list(answer.iter_raw())) >= 4

    def test_it_is_decided_as_on_the_providers_own_route(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        place = path.removeprefix(f"/external/{provider}")
        other = next(name for name in CALLS if name != provider)
        assert cluster.client.post(place, json=body, headers=bearer(site.limited[provider])).status_code == 200
        before = {name: len(simulator.received) for name, simulator in site.simulators.items()}
        sent = {"x-maas-route": f"external/{provider}", "x-gateway-model-name": body["model"]}
        for credential, model, code in (
            (bearer(site.limited[other]), body["model"], "model_not_allowed"),
            (headers(site), "gpt-5-pro", "model_not_found"),
            (headers(site), "", "invalid_body"),
            ({}, body["model"], "invalid_api_key"),
            ({**headers(site), **sent}, "gpt-5-pro", "model_not_found"),
            (bearer("sk-oai-" + "junk_junk"), body["model"], "invalid_api_key"),
        ):
            answer = cluster.client.post(place, json={**body, "model": model}, headers=credential)
            assert answer.status_code in (400, 401, 403, 404), answer.text
            assert answer.json()["error"]["code"] == code
        assert {name: len(simulator.received) for name, simulator in site.simulators.items()} == before

    def test_a_route_that_a_client_wishes_for_leads_nowhere(self, cluster: Cluster, site: Site, provider: str) -> None:
        before = len(site.simulators[provider].received)
        wished = {"x-maas-route": f"external/{provider}"}
        body = CALLS[provider][1]
        for method, path in (
            ("POST", "/v1/files"),
            ("POST", "/v1/chat/completions/x"),
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/api-keys"),
            ("POST", "/elsewhere"),
        ):
            for credential in ({}, headers(site)):
                answer = cluster.client.request(method, path, json=body, headers={**credential, **wished})
                assert answer.status_code in (401, 403, 404, 405), (method, path, answer.status_code)
        assert len(site.simulators[provider].received) == before


@pytest.mark.parametrize("cluster", ["kuadrant", "istio"], indirect=True)
def test_a_model_in_the_cluster_is_called_there_too_where_no_policy_is_passed_by(cluster: Cluster, site: Site) -> None:
    """With Kuadrant the policies of its own route would not be asked."""
    body = {"model": "facebook/opt-125m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    before = len(site.model.received)
    answer = cluster.client.post("/v1/chat/completions", json=body, headers=headers(site))
    if cluster.mode == "kuadrant":
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_permitted")
        assert len(site.model.received) == before
        return
    assert answer.status_code == 200, answer.text
    received = site.model.received[-1]
    assert received.path == "/v1/chat/completions"
    assert json.loads(received.body) == body
    assert site.key not in received.text()
    assert received.header("x-maas-route") is None
    refused = cluster.client.post("/v1/chat/completions", json=body, headers=bearer(site.limited["openai"]))
    assert refused.json()["error"]["code"] == "model_not_allowed"
