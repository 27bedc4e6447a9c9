"""A provider's own route, as rendered: translated as Istio would, run by the real Envoy, asked for by real requests."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from maas_api.demo.simulators.server import Received
from tests.support.rendered import CALLS, Cluster, Site, applied, bearer, client, headers


@pytest.mark.parametrize("provider", CALLS)
class TestOneProvider:
    def test_a_request_arrives_as_by_the_local_gateway(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        sent = headers(site, **{"X-Forwarded-For": "203.0.113.9", "Cookie": "session=1"})
        seen: list[Received] = []
        answers = []
        for gateway in (cluster.client, site.local):
            answers.append(gateway.post(path, json=body, headers=sent))
            assert answers[-1].status_code == 200, answers[-1].text
            seen.append(site.simulators[provider].received[-1])
        here, local = seen
        assert (here.method, here.path, here.body, here.sni) == (local.method, local.path, local.body, local.sni)
        assert here.header("host") == f"api.{provider}.com" == here.sni
        assert site.key not in here.text()
        assert site.provider_keys[provider] in here.text()
        expected = {(name.lower(), value) for name, value in local.headers}
        found = {(name.lower(), value) for name, value in here.headers}
        if cluster.mode == "kuadrant-literal":
            # Where no upstream filter follows, Envoy's router adds its own, and answers may come packed: there nobody
            # of ours reads what they took.
            found = {(name, value) for name, value in found if not name.startswith(("x-envoy-", "accept-encoding"))}
        assert found == expected
        usage = [answer.json()["usage"] for answer in answers]
        assert usage[0] == usage[1]

    def test_a_key_is_taken_where_anthropics_sdk_puts_it(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        answer = cluster.client.post(path, json=body, headers=headers(site, name="x-api-key"))
        assert answer.status_code == 200, answer.text
        assert site.key not in site.simulators[provider].received[-1].text()

    def test_a_platform_users_token_passes_and_stays_here(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        answer = cluster.client.post(path, json=body, headers={"Authorization": f"Bearer {site.token}"})
        assert answer.status_code == 200, answer.text
        assert site.token not in site.simulators[provider].received[-1].text()

    def test_a_stream_arrives_in_separate_pieces(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        with cluster.client.stream("POST", path, json={**body, "stream": True}, headers=headers(site)) as answer:
            assert len(list(answer.iter_raw())) >= 4

    @pytest.mark.parametrize("credential", [None, "Bearer sk-oai-a_b", "Bearer nobody", "Basic x"])
    def test_without_a_good_credential_nothing_arrives(
        self, cluster: Cluster, site: Site, provider: str, credential: str | None
    ) -> None:
        path, body = CALLS[provider]
        before = len(site.simulators[provider].received)
        answer = cluster.client.post(path, json=body, headers={"Authorization": credential} if credential else {})
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json()["error"]["type"] == "authentication_error"
        assert len(site.simulators[provider].received) == before

    def test_a_forged_identity_reaches_nobody(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        before = len(site.simulators[provider].received)
        answer = cluster.client.post(path, json=body, headers=headers(site, **{"X-MaaS-Username": "root"}))
        if cluster.mode == "istio":  # set again by the authorizer, and removed on the route
            assert answer.status_code == 200
            assert site.simulators[provider].received[-1].header("x-maas-username") is None
        else:
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "not_permitted"
            assert len(site.simulators[provider].received) == before

    @pytest.mark.parametrize("credential", ["unlimited", "limited", "none"])
    def test_nothing_else_of_the_operators_account_is_reached(
        self, cluster: Cluster, site: Site, provider: str, credential: str
    ) -> None:
        before = len(site.simulators[provider].received)
        good = {
            "unlimited": headers(site),
            "limited": {"Authorization": f"Bearer {site.limited[provider]}"},
            "none": {},
        }
        body = CALLS[provider][1]
        answers = {
            (method, path): cluster.client.request(
                method, f"/external/{provider}{path}", json=body, headers=good[credential]
            ).status_code
            for method, path in ELSEWHERE
        }
        assert set(answers.values()) <= {401, 403, 404}, answers
        assert len(site.simulators[provider].received) == before

    def test_a_model_that_nobody_registered_is_not_run(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        other = next(call["model"] for name, (_, call) in CALLS.items() if name != provider)
        before = len(site.simulators[provider].received)
        for model in ("gpt-5-pro", other, ""):
            answer = cluster.client.post(path, json={**body, "model": model}, headers=headers(site))
            assert answer.status_code in ((401,) if cluster.mode != "istio" else (400, 404))
            assert answer.json()["error"]["code"] == ("model_not_found" if model else "invalid_body")
        assert len(site.simulators[provider].received) == before

    def test_a_limited_key_runs_its_model_and_no_other(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        assert cluster.client.post(path, json=body, headers=bearer(site.limited[provider])).status_code == 200
        before = len(site.simulators[provider].received)
        other = next(key for name, key in site.limited.items() if name != provider)
        answer = cluster.client.post(path, json=body, headers=bearer(other))
        assert answer.status_code == (403 if cluster.mode == "istio" else 401)
        assert answer.json()["error"]["code"] == "model_not_allowed"
        nested = {**body, "tools": [{"type": "advisor_20260301", "model": "gpt-5-pro"}]}
        for key in (site.key, site.limited[provider]):
            assert cluster.client.post(path, json=nested, headers=bearer(key)).status_code in (401, 403, 404)
        assert len(site.simulators[provider].received) == before

    def test_its_list_of_models_is_the_callers_own(self, cluster: Cluster, site: Site, provider: str) -> None:
        before = len(site.simulators[provider].received)
        _, body = CALLS[provider]
        others = {key for name, key in site.limited.items() if name != provider}
        for key in (site.key, site.token, site.limited[provider], *others):
            answer = cluster.client.get(f"/external/{provider}/v1/models", headers=bearer(key))
            assert answer.status_code == 200, answer.text
            assert [item["id"] for item in answer.json()["data"]] == ([] if key in others else [body["model"]])
        one = cluster.client.get(f"/external/{provider}/v1/models/{body['model']}", headers=headers(site))
        assert one.json()["id"] == body["model"]
        assert cluster.client.get(f"/external/{provider}/v1/models").status_code == 401
        assert len(site.simulators[provider].received) == before


ELSEWHERE = [
    ("GET", ""),
    ("GET", "/"),
    ("GET", "/v1/files"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files/file-1/content"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/messages/batches"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/chat/completions/chat_1"),
    ("GET", "/v1/chat/completions"),
    ("PUT", "/v1/chat/completions"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/models"),
    ("DELETE", "/v1/models/gpt-4o-mini"),
    ("GET", "/v1/models-of-others"),
    ("GET", "/v1/models/../files"),
    ("GET", "/v1/models/..%2ffiles"),
    ("GET", "/v1/organization/users"),
    ("POST", "/v2/chat/completions"),
]


def test_a_version_that_the_client_chose_wins(cluster: Cluster, site: Site) -> None:
    path, body = CALLS["anthropic"]
    for version, expected in ((None, "2023-06-01"), ("2024-01-01", "2024-01-01")):
        more = {} if version is None else {"anthropic-version": version}
        assert cluster.client.post(path, json=body, headers=headers(site, **more)).status_code == 200
        received = site.simulators["anthropic"].received[-1]
        assert [value for name, value in received.headers if name.lower() == "anthropic-version"] == [expected]


@pytest.mark.parametrize("mode", ["kuadrant", "istio"])
def test_without_the_authorizer_nothing_passes(mode: str, site: Site, tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(applied(mode, site, tmp_path, stack, authorizer_up=False))
        gateway = stack.enter_context(client(running))
        before = {name: len(simulator.received) for name, simulator in site.simulators.items()}
        for path, body in CALLS.values():
            assert gateway.post(path, json=body, headers=headers(site)).status_code in (403, 503)
        assert {name: len(simulator.received) for name, simulator in site.simulators.items()} == before


@pytest.mark.parametrize("cluster", ["kuadrant", "istio"], indirect=True)
@pytest.mark.parametrize("place", ["/external/anthropic/v1/chat/completions", "/v1/chat/completions"])
def test_anthropics_models_are_called_in_openais_dialect_too(cluster: Cluster, site: Site, place: str) -> None:
    """Its key is wanted as ``Authorization: Bearer`` there, and nowhere else."""
    seen = []
    for gateway, path in ((cluster.client, place), (site.local, "/external/anthropic/v1/chat/completions")):
        answer = gateway.post(path, json=CALLS["anthropic"][1], headers=headers(site))
        assert answer.status_code == 200, answer.text
        seen.append(site.simulators["anthropic"].received[-1])
    here, local = seen
    assert here.header("authorization") == f"Bearer {site.provider_keys['anthropic']}"
    assert here.header("x-api-key") is None
    assert (here.path, here.body, here.sni) == (local.path, local.body, local.sni)
    assert {(name.lower(), value) for name, value in here.headers} == {
        (name.lower(), value) for name, value in local.headers
    }
