"""How many keys one user may have, and make in a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import sqlalchemy as sa

from maas_api.app import build
from maas_api.config import load
from maas_api.store.database import Database, open_database
from tests.support.postgres import PostgresServer
from tests.support.serving import serving

MINT = "/v1/api-keys"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def capped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[httpx.Client], Database]]:
    """Two replicas on one store: at most 5 active keys a user, 8 mints a minute."""
    folder = tmp_path_factory.mktemp("capped")
    url = f"sqlite:///{folder / 'keys.db'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.migrated()
    flags = {
        "database_url": url,
        "kubernetes": "off",
        "manifests": str(folder),
        "default_subscription": "default",
        "api_key_max_per_user": "5",
        "api_key_mints_per_minute": "8",
    }
    database = open_database(url)
    with serving(build(load(flags, {}))) as one, serving(build(load(flags, {}))) as two:
        clients = [httpx.Client(base_url=base, timeout=30) for base in (one, two)]
        yield clients, database
        for client in clients:
            client.close()
    database.stop()


def mint(client: httpx.Client, user: str, name: str = "n") -> httpx.Response:
    return client.post(MINT, json={"name": name}, headers={"X-MaaS-Username": user, "X-MaaS-Group": '["team"]'})


def test_of_many_mints_at_once_at_two_replicas_as_many_pass_as_there_are_places(
    capped: tuple[list[httpx.Client], Database],
) -> None:
    clients, database = capped
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: mint(clients[number % 2], "racer"), range(24)))
    assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 19}
    with database.reading() as connection:
        count = connection.execute(sa.text("SELECT count(*) FROM api_keys WHERE username = 'racer'")).scalar_one()
    assert count == 5


def test_the_refusal_names_the_oldest_active_key_and_a_revoked_one_makes_room(
    capped: tuple[list[httpx.Client], Database],
) -> None:
    (client, _), _ = capped
    made = [mint(client, "owner", f"key {number}").json() for number in range(5)]
    headers = {"X-MaaS-Username": "owner", "X-MaaS-Group": '["team"]'}
    assert mint(client, "another").status_code == 201
    refused = mint(client, "owner")
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")
    assert f"'key 0' ({made[0]['id']})" in refused.json()["error"]
    assert client.delete(f"{MINT}/{made[0]['id']}", headers=headers).status_code == 200
    assert mint(client, "owner").status_code == 201
    again = mint(client, "owner")
    assert f"'key 1' ({made[1]['id']})" in again.json()["error"]


def test_whoever_mints_too_fast_is_told_when_to_try_again(capped: tuple[list[httpx.Client], Database]) -> None:
    (client, other), database = capped
    headers = {"X-MaaS-Username": "hasty", "X-MaaS-Group": '["team"]'}
    for number in range(8):
        made = mint(client if number % 2 else other, "hasty")
        assert made.status_code == 201, made.text
        assert client.delete(f"{MINT}/{made.json()['id']}", headers=headers).status_code == 200
    refused = mint(client, "hasty")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_mints")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    earlier = "created_at - interval '61 seconds'" if database.postgres else "datetime(created_at, '-61 seconds')"
    with database.writing() as connection:  # as a minute passes
        connection.execute(sa.text(f"UPDATE api_keys SET created_at = {earlier} WHERE username = 'hasty'"))
    assert mint(client, "hasty").status_code == 201
