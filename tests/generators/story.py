"""The story of tests/generators, told with the client that openapi-python-client makes of openapi.yaml."""

from __future__ import annotations

import json
import sys
from typing import TypeVar

from maas_client import AuthenticatedClient, models
from maas_client.api.internal import validate_api_key
from maas_client.api.keys import (
    bulk_revoke_api_keys,
    create_api_key,
    get_api_key,
    revoke_api_key,
    rotate_api_key,
    search_api_keys,
    set_api_key_budget,
)
from maas_client.api.models import get_model, list_models
from maas_client.api.usage import get_own_key, get_usage
from maas_client.types import Unset

BASE, MODEL = sys.argv[1:]
ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["users"]'}
ROOT = {"X-MaaS-Username": "root", "X-MaaS-Group": '["maas-admins"]'}

T = TypeVar("T")


def told(kind: type[T], answer: object) -> T:
    """The answer, of the kind that it has to be."""
    assert isinstance(answer, kind), answer
    return answer


def main() -> None:
    """Live through it, and print what came of it."""
    alice, root = (AuthenticatedClient(BASE, "a-platform-token", headers=who) for who in (ALICE, ROOT))
    nobody = AuthenticatedClient(BASE, "a-platform-token")
    budget = models.TokenBudget(tokens=1000, per=models.BudgetPeriod.DAY)
    asked = models.CreateKeyRequest(name="generated", models=[MODEL], budget=budget)
    made = told(models.CreatedKey, create_api_key.sync(client=alice, body=asked))
    filters = models.SearchFilters(status=[models.KeyStatus.ACTIVE], name_contains="gener")
    search = models.SearchRequest(filters=filters, sort=models.SearchSort(by=models.SearchOrder.NAME))
    found = told(models.KeyList, search_api_keys.sync(client=alice, body=search))
    record = told(models.KeyRecord, get_api_key.sync(made.id, client=alice))
    bearer = AuthenticatedClient(BASE, made.key)
    own = told(models.OwnKeyAnswer, get_own_key.sync(client=bearer))
    both = bearer.with_headers(ALICE)
    listed = told(models.ModelList, list_models.sync(client=both))
    one = told(models.Model, get_model.sync(MODEL, client=both))
    question = models.ValidateRequest(key=made.key)
    verdict = told(models.ValidKey, validate_api_key.sync(client=alice, body=question))
    interval = models.UsageInterval.TOTAL
    usage = told(models.Usage, get_usage.sync(client=alice, interval=interval, group_by="model,key"))
    rotation = models.RotateRequest(grace_seconds=60)
    rotated = told(models.RotatedKey, rotate_api_key.sync(made.id, client=alice, body=rotation))
    money = models.MoneyBudget(cost="12.50", currency="USD", per=models.BudgetPeriod.MONTH)
    change = models.BudgetChange(budget=[money])
    priced = told(models.KeyRecord, set_api_key_budget.sync(made.id, client=root, body=change)).budget
    count = models.BulkRevokeRequest(username="alice", dry_run=True)
    counted = told(models.Revoked, bulk_revoke_api_keys.sync(client=alice, body=count))
    revoked = told(models.KeyRecord, revoke_api_key.sync(made.id, client=alice, keep_children=True))
    too_long = models.CreateKeyRequest(name="too long", expires_in="9999d")
    refused = create_api_key.sync_detailed(client=alice, body=too_long)
    refusal = told(models.Error, refused.parsed)
    unknown = get_api_key.sync_detailed(made.id, client=nobody)
    outcome = {
        "key": made.key,
        "found": [key.name for key in found.data],
        "status": record.status,
        "own": own.data.label,
        "models": any(each.id == MODEL and each.ready for each in listed.data),
        "model": one.id,
        "user": verdict.username,
        "requests": usage.total.requests,
        "rotated": rotated.key != made.key and not isinstance(rotated.old_secret_valid_until, Unset),
        "budget": [
            str(each.cost) if isinstance(each, models.MoneyBudget) else each.tokens
            for each in ([] if isinstance(priced, Unset) else priced)
        ],
        "counted": counted.revoked_count if counted.dry_run else None,
        "revoked": revoked.status,
        "refused": [refused.status_code, refusal.code or None, refusal.error],
        "nobody": [unknown.status_code, told(models.IdentityError, unknown.parsed).ref_id],
    }
    sys.stdout.write(json.dumps(outcome) + "\n")


main()
