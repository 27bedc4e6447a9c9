"""Keys follow their owners, through everything that reads a key: callback, authorizer, listing, selection, calls."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from maas_api.app import build
from maas_api.cli import main
from maas_api.config import ConfigError, load
from maas_api.kube import sources as kube_sources
from maas_api.kube.objects import GROUP
from tests.support import kubeapi
from tests.support.kubeapi import KubeApi, kubeconfig
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import subscription

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a", "staff"]'}
BOB = {"X-MaaS-Username": "bob", "X-MaaS-Group": '["team-a"]'}
ROBOT = {"X-MaaS-Username": "system:serviceaccount:ml:robot", "X-MaaS-Group": '["system:serviceaccounts"]'}
REGISTRY = """
- {id: for-all, provider: openai}
- {id: for-a, provider: openai, groups: [team-a]}
- {id: for-b, provider: openai, groups: [team-b]}
"""


@pytest.fixture
def api() -> Iterator[KubeApi]:
    found = KubeApi()
    found.put("configmaps", config_map("external-model-registry", {"models": REGISTRY}))
    group(found, "team-a", "alice", "bob")
    with kubeapi.running(found):
        yield found


def config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"namespace": "maas-api", "name": name}, "data": dict(data)}


def group(api: KubeApi, name: str, *users: str) -> None:
    api.put("groups", {"metadata": {"name": name}, "users": list(users)})


def directory(api: KubeApi, text: str) -> None:
    api.put("configmaps", config_map("maas-directory", {"directory.yaml": text}))


def flags(api: KubeApi, folder: Path, **more: str) -> dict[str, str]:
    return {
        "kubernetes": "on",
        "kubeconfig": str(kubeconfig(api, folder)),
        "sqlite_path": str(folder / "keys.db"),
        "default_subscription": "default",
        "admin_check": "off",
        "source_subscriptions": "off",
        "source_llminferenceservices": "off",
        "live_groups": "openshift",
        "validation_deadline_ms": "5000",
        **more,
    }


@contextmanager
def served(api: KubeApi, folder: Path, **more: str) -> Iterator[httpx.Client]:
    with serving(build(load(flags(api, folder, **more), {}))) as url, httpx.Client(base_url=url, timeout=30) as client:
        until(lambda: client.get("/readyz").status_code == 200, what="the service is ready")
        yield client


def mint(client: httpx.Client, who: Mapping[str, str]) -> str:
    made = client.post("/v1/api-keys", json={"name": "k"}, headers=who)
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


def told(client: httpx.Client, key: str) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/internal/v1/api-keys/validate", json={"key": key}).json()
    return found


def groups(client: httpx.Client, key: str) -> list[str] | None:
    """As the callback tells them; None for a key that is not valid."""
    answer = told(client, key)
    return answer["groups"] if answer["valid"] else None


def identified(client: httpx.Client, key: str) -> dict[str, str]:
    """What the authorizer has the gateway say of a key."""
    answer = client.get("/internal/v1/authz/v1/models", headers={"Authorization": f"Bearer {key}"})
    names = ("x-maas-username", "x-maas-group")
    return {name: answer.headers[name] for name in names} if answer.status_code == 200 else {}


def listed(client: httpx.Client, key: str) -> set[str]:
    """The models that a key is shown through the gateway."""
    answer = client.get("/v1/models", headers={**identified(client, key), "Authorization": f"Bearer {key}"})
    return {model["id"] for model in answer.json()["data"]}


def called(client: httpx.Client, key: str, model: str) -> int:
    """What the gateway is told of a call."""
    told = {"Authorization": f"Bearer {key}", "X-Gateway-Model-Name": model}
    return client.post("/internal/v1/authz/external/openai/v1/chat/completions", headers=told).status_code


def test_a_change_of_groups_is_in_force_for_everything_that_reads_a_key(api: KubeApi, tmp_path: Path) -> None:
    with served(api, tmp_path) as client:
        key = mint(client, ALICE)
        assert groups(client, key) == ["team-a", "staff"]
        assert listed(client, key) == {"for-all", "for-a"}
        assert (called(client, key, "for-a"), called(client, key, "for-b")) == (200, 404)
        group(api, "team-b", "alice")
        group(api, "team-a", "bob")
        until(lambda: groups(client, key) == ["staff", "team-b"], what="the callback tells the groups of now")
        assert json.loads(identified(client, key)["x-maas-group"]) == ["staff", "team-b"]
        assert listed(client, key) == {"for-all", "for-b"}
        assert (called(client, key, "for-a"), called(client, key, "for-b")) == (404, 200)


def test_who_is_in_no_group_any_more_has_no_valid_key_and_gets_it_back_by_coming_back(
    api: KubeApi, tmp_path: Path
) -> None:
    with served(api, tmp_path) as client:
        key = mint(client, BOB)
        assert groups(client, key) == ["team-a"]
        group(api, "team-a", "alice")
        until(lambda: groups(client, key) is None, what="the key is refused")
        assert told(client, key)["reason"] == "key owner has left or is disabled"
        assert called(client, key, "for-a") == 401
        assert identified(client, key) == {}
        group(api, "team-a", "alice", "bob")
        until(lambda: groups(client, key) == ["team-a"], what="the key is accepted")


def test_a_group_that_was_deleted_stays_empty(api: KubeApi, tmp_path: Path) -> None:
    with served(api, tmp_path) as client:
        key = mint(client, ALICE)
        api.delete("groups", "", "team-a")
        until(lambda: groups(client, key) == ["staff"], what="the group is gone")


def test_after_a_restart_a_deleted_group_counts_as_managed_where_the_settings_say_so(
    api: KubeApi, tmp_path: Path
) -> None:
    with served(api, tmp_path) as client:
        key = mint(client, ALICE)
    api.delete("groups", "", "team-a")
    with served(api, tmp_path) as client:
        assert groups(client, key) == ["team-a", "staff"], "nobody manages it: as at mint"
    with served(api, tmp_path, live_groups_managed="team-*") as client:
        assert groups(client, key) == ["staff"]


def test_owners_in_no_group_of_the_source_have_left_where_all_are_listed(api: KubeApi, tmp_path: Path) -> None:
    with served(api, tmp_path, live_groups_owners="listed") as client:
        alice, robot = mint(client, ALICE), mint(client, ROBOT)
        group(api, "team-a", "bob")
        until(lambda: groups(client, alice) is None, what="alice has left")
        assert groups(client, robot) == ["system:serviceaccounts"], "no directory of people lists it"


def test_the_callbacks_selection_of_a_subscription_follows(api: KubeApi, tmp_path: Path) -> None:
    api.put("maassubscriptions", subscription("gold", groups=("team-b",)))
    with served(api, tmp_path, source_subscriptions="auto") as client:
        key = mint(client, {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a", "team-b"]'})

        def selected() -> Any:
            answer = told(client, key)
            question = {"username": answer["username"], "groups": answer["groups"], "requestedSubscription": "gold"}
            return client.post("/internal/v1/subscriptions/select", json=question).json().get("name")

        assert selected() == "gold"
        group(api, "team-b", "carol")
        until(lambda: selected() is None, what="the subscription of a group that alice has left is not hers")


class TestDirectory:
    def test_who_is_disabled_has_no_valid_key_and_no_platform_token(self, api: KubeApi, tmp_path: Path) -> None:
        token = secrets.token_urlsafe(24)
        (tmp_path / "tokens.yaml").write_text(f"- {{token: {token}, username: alice, groups: [team-a]}}\n")
        directory(api, "groups: {team-a: [alice]}")
        more = {"live_groups": "configmap", "tokens_file": str(tmp_path / "tokens.yaml")}
        with served(api, tmp_path, **more) as client:
            key = mint(client, ALICE)
            bearer = {"Authorization": f"Bearer {token}"}
            assert client.get("/internal/v1/authz/v1/models", headers=bearer).status_code == 200
            directory(api, "groups: {team-a: [alice]}\ndisabled: [alice]")
            until(lambda: groups(client, key) is None, what="the key is refused")
            refused = client.get("/internal/v1/authz/v1/models", headers=bearer)
            assert refused.status_code == 401
            assert "has left, or is disabled" in refused.json()["error"]["message"]
            directory(api, "groups: {team-a: [alice]}\ndisabled: [")
            assert client.get("/readyz").status_code == 200
            until(
                lambda: "line" in str(client.get("/readyz").json()["checks"]["groups"].get("problem")),
                what="the broken document is told",
            )
            assert groups(client, key) is None, "the last good one stays in force"

    def test_before_it_was_read_nobody_is_answered_for(self, api: KubeApi, tmp_path: Path) -> None:
        directory(api, "groups: {team-a: [alice]}\ndisabled: [alice]")
        with served(api, tmp_path, live_groups="configmap") as client:
            key = mint(client, BOB)
        directory(api, "groups: 7")
        settings = load(flags(api, tmp_path, live_groups="configmap"), {})
        with serving(build(settings)) as url, httpx.Client(base_url=url) as client:
            until(
                lambda: "must be an object" in str(client.get("/readyz").json()["checks"]["groups"].get("problem")),
                what="the document was looked at",
            )
            assert client.get("/readyz").status_code == 503
            answer = client.post("/internal/v1/api-keys/validate", json={"key": key})
            assert (answer.status_code, answer.content) == (503, b"")
            assert called(client, key, "for-all") == 503
            directory(api, "groups: {team-a: [alice, bob]}")
            until(lambda: client.get("/readyz").status_code == 200, what="the service is ready")
            assert groups(client, key) == ["team-a"]

    def test_out_of_touch_its_last_state_stays(self, api: KubeApi, tmp_path: Path) -> None:
        directory(api, "groups: {team-a: [alice]}")
        with served(api, tmp_path, live_groups="configmap") as client:
            alice, bob = mint(client, ALICE), mint(client, BOB)
            assert (groups(client, alice), groups(client, bob)) == (["team-a", "staff"], None)
            api.enter("down")
            until(lambda: client.get("/readyz").json()["checks"]["groups"]["stale"], what="it is called stale")
            assert (groups(client, alice), groups(client, bob)) == (["team-a", "staff"], None)
            assert client.get("/readyz").status_code == 200


def test_a_cluster_without_the_kind_is_not_one_in_which_nobody_is_in_any_group(api: KubeApi, tmp_path: Path) -> None:
    api.serve(GROUP)
    with serving(build(load(flags(api, tmp_path), {}))) as url, httpx.Client(base_url=url) as client:
        until(lambda: api.requests, what="the cluster was asked")
        assert client.get("/readyz").status_code == 503
        assert client.post("/internal/v1/api-keys/validate", json={"key": "sk-oai-a_b"}).status_code == 503


def test_the_directory_is_watched_under_a_name_of_its_own(api: KubeApi, tmp_path: Path) -> None:
    """Beside the registry, which is a ConfigMap too: the staleness of each is alerted by its name."""
    sources = kube_sources.build(load(flags(api, tmp_path, live_groups="configmap"), {}), {})
    names = [status.name for feed in sources.every_feed for status in feed.status()]
    assert sorted(names) == ["configmaps", "configmaps/maas-directory"]


def test_it_needs_something_to_read() -> None:
    with pytest.raises(ConfigError, match=r"--live-groups .*needs a cluster or a folder"):
        build(load({"live_groups": "openshift", "kubernetes": "off"}, {}))


class TestBulkRevoke:
    @pytest.fixture
    def keys(self, api: KubeApi, tmp_path: Path) -> list[str]:
        with served(api, tmp_path, live_groups="off") as client:
            return [mint(client, who) for who in (ALICE, BOB, BOB, ROBOT)]

    @staticmethod
    def run(api: KubeApi, folder: Path, *arguments: str, **more: str) -> Any:
        environment = {name.upper(): value for name, value in flags(api, folder, **more).items()}
        return CliRunner().invoke(main, ["keys", "bulk-revoke", *arguments], env=environment)

    @staticmethod
    def statuses(folder: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        connection = sqlite3.connect(folder / "keys.db")
        for name, status in connection.execute("SELECT username, status FROM api_keys"):
            found.setdefault(name, set()).add(status)
        connection.close()
        return found

    def test_a_rehearsal_names_who_has_left_and_changes_nothing(
        self, api: KubeApi, tmp_path: Path, keys: list[str]
    ) -> None:
        group(api, "team-a", "alice")
        done = self.run(api, tmp_path, "--not-in-directory", "--dry-run")
        assert done.exit_code == 0, done.output
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["2", "bob"],
            ["2", "would", "be", "revoked,", "nothing", "is", "changed"],
        ]
        assert set().union(*self.statuses(tmp_path).values()) == {"active"}

    def test_it_revokes_the_keys_of_whoever_has_left_and_of_nobody_else(
        self, api: KubeApi, tmp_path: Path, keys: list[str]
    ) -> None:
        group(api, "team-a", "alice")
        done = self.run(api, tmp_path, "--not-in-directory", "--output", "json")
        assert json.loads(done.stdout) == {"dryRun": False, "keys": 2, "users": {"bob": 2}}
        assert self.statuses(tmp_path) == {
            "alice": {"active"},
            "bob": {"revoked"},
            ROBOT["X-MaaS-Username"]: {"active"},
        }

    def test_an_empty_directory_is_not_believed(self, api: KubeApi, tmp_path: Path, keys: list[str]) -> None:
        group(api, "team-a")
        done = self.run(api, tmp_path, "--not-in-directory")
        assert done.exit_code == 1
        assert "has nobody in it" in done.output
        assert set().union(*self.statuses(tmp_path).values()) == {"active"}

    @pytest.mark.parametrize(
        ("arguments", "more", "says"),
        [
            (["--not-in-directory"], {"live_groups": "off"}, "is off; say which directory"),
            ([], {}, "say whose keys"),
            (["--user", "bob", "--not-in-directory"], {}, "say whose keys"),
        ],
    )
    def test_a_question_that_means_nothing_is_refused(
        self, api: KubeApi, tmp_path: Path, keys: list[str], arguments: list[str], more: dict[str, str], says: str
    ) -> None:
        done = self.run(api, tmp_path, *arguments, **more)
        assert done.exit_code != 0
        assert says in done.output

    def test_a_users_keys_are_revoked_by_name(self, api: KubeApi, tmp_path: Path, keys: list[str]) -> None:
        done = self.run(api, tmp_path, "--user", "bob")
        assert done.exit_code == 0, done.output
        assert self.statuses(tmp_path)["bob"] == {"revoked"}
        assert self.statuses(tmp_path)["alice"] == {"active"}
