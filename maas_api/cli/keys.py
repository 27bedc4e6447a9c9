"""``maas-api keys``: keys straight in the store, for an operator with access to the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maas_api.cli.moving import export, import_keys
from maas_api.cli.options import SectionedCommand, settings_options
from maas_api.cli.sentences import WholeSentences
from maas_api.cli.store import opened, plain
from maas_api.config import AUDIT, CALLERS, CATALOG, KEYS, PLATFORM, STORE, ConfigError

if TYPE_CHECKING:
    from maas_api.config import Settings
    from maas_api.keys.operator import Operator

_F = TypeVar("_F", bound=Callable[..., Any])
_LIST = ("id", "name", "username", "subscription", "status", "expirationDate", "lastUsedAt")


@click.group(cls=WholeSentences)
def keys() -> None:
    """Create, list, show, revoke and rotate keys in the store, and move them from one to another.

    For an operator with access to the database: nothing here asks a gateway or a cluster who is allowed. Running
    services hear of every change at once. A secret is printed by create and rotate only.
    """


def _command(name: str, *more: str) -> Callable[[_F], click.Command]:
    """A subcommand with the options of the store, of ``more`` sections, and ``--output``."""

    def decorate(function: _F) -> click.Command:
        output = click.option(
            "--output", type=click.Choice(["table", "json"]), default="table", help="For people, or for scripts."
        )
        settings = settings_options(STORE, PLATFORM, KEYS, AUDIT, *more)
        return keys.command(name, cls=SectionedCommand)(settings(output(function)))

    return decorate


@_command("create")
@click.argument("name", required=False, default="")
@click.option("--user", required=True, help="Whom the key belongs to.")
@click.option("--group", "groups", multiple=True, required=True, help="A group of the user; repeat for more.")
@click.option("--subscription", default="", help="Subscription to bind. Default: --default-subscription.")
@click.option("--description", default="", help="What the key is for.")
@click.option("--expires-in", default=None, help="How long it lives: 30d, 2h30m. Default: the longest allowed.")
@click.option("--ephemeral", is_flag=True, help="For at most an hour, removed by itself; needs no name.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; repeat for more.")
@click.option("--model", "models", multiple=True, help="A model the key may call, or a prefix ending in *; repeat.")
@click.option("--budget", default="", help="What it may spend: '100000 tokens/day, 25.50 USD/month'.")
def create(output: str, user: str, groups: tuple[str, ...], **values: Any) -> None:
    """Mint a key for a user and print it. It is shown here and never again."""
    asked = {name: values.pop(name) for name in ("name", "subscription", "description", "ephemeral")}
    labels, models = values.pop("labels"), values.pop("models")
    for label in labels:
        if "=" not in label:
            raise click.UsageError(f"--label: must be KEY=VALUE, got {label!r}")
    asked["labels"] = dict(label.split("=", 1) for label in labels)
    asked["models"] = list(models) or None
    asked["budget"] = _budget(values.pop("budget")) or None
    asked["expiresIn"] = values.pop("expires_in")
    with _operator(values) as (operator, settings):
        from maas_api.identity.headers import Identity
        from maas_api.keys.http.key_json import minted_json, warnings_json

        asked["subscription"] = asked["subscription"].strip() or settings.default_subscription
        if not asked["subscription"]:
            raise click.UsageError("--subscription: must be given, no --default-subscription is set")
        made = operator.create(Identity(user, groups), asked)
        _print_record(minted_json(made) | warnings_json((), made.dropped), output)


@_command("list")
@click.option("--user", default="", help="Only this user's keys.")
@click.option("--of-subscription", default="", help="Only keys bound to this subscription.")
@click.option("--status", "statuses", multiple=True, help="active, revoked or expired; repeat for more.")
@click.option("--ephemeral", is_flag=True, help="Ephemeral keys too.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Most keys printed.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True, help="Keys to skip.")
def list_keys(output: str, user: str, of_subscription: str, **values: Any) -> None:
    """List the tenant's keys, newest first."""
    statuses, ephemeral = values.pop("statuses"), values.pop("ephemeral")
    pagination = {"limit": values.pop("limit"), "offset": values.pop("offset")}
    with _operator(values) as (operator, _settings):
        from maas_api.keys.http.key_json import as_json
        from maas_api.keys.http.schemas import FiltersBody, SearchBody

        asked = SearchBody().load({})
        filters = {"username": user, "subscription": of_subscription, "status": list(statuses)}
        asked["filters"] = {**FiltersBody().load({}), **filters, "includeEphemeral": ephemeral}
        asked["pagination"] = pagination
        found, more = operator.search(asked)
        rows = [as_json(record, operator.now()) for record in found]
        if output == "json":
            click.echo(json.dumps({"data": rows, "has_more": more}, indent=2, ensure_ascii=False))
            return
        _print_table(rows)
        if more:
            click.echo(f"more: --offset {pagination['offset'] + len(rows)}", err=True)


@_command("show")
@click.argument("key_id")
def show(output: str, key_id: str, **values: Any) -> None:
    """Show one key by its id."""
    with _operator(values) as (operator, _settings):
        from maas_api.keys.http.key_json import as_json

        _print_record(as_json(operator.show(key_id), operator.now()), output)


@_command("revoke")
@click.argument("key_id")
@click.option("--keep-children", is_flag=True, help="Leave the keys alone that were minted with it.")
def revoke(output: str, key_id: str, keep_children: bool, **values: Any) -> None:
    """Revoke a key by its id, and those minted with it: every replica refuses them within milliseconds."""
    with _operator(values) as (operator, _settings):
        from maas_api.errors import ApiError
        from maas_api.keys.http.key_json import as_json

        try:
            record = operator.revoke(key_id, keep_children=keep_children)
        except ApiError as fault:
            record = operator.show(key_id)  # raises for a key that is not there
            status = as_json(record, operator.now())["status"]
            if status == "active":
                raise fault from None
            click.echo(f"nothing to revoke: the key is {status} already", err=True)
        _print_record(as_json(record, operator.now()), output)


@_command("bulk-revoke", CALLERS, CATALOG)
@click.option("--user", default="", help="The keys of this user.")
@click.option("--subscription", "of_subscription", default="", help="The keys bound to this subscription.")
@click.option(
    "--not-in-directory",
    is_flag=True,
    help="The keys of everybody who is in no group of --live-groups, or disabled there. Not of service accounts.",
)
@click.option("--dry-run", is_flag=True, help="Say which keys it would be, and revoke none.")
def bulk_revoke(
    output: str, user: str, of_subscription: str, *, not_in_directory: bool, dry_run: bool, **values: Any
) -> None:
    """Revoke a user's keys, a subscription's, or those of everybody who has left."""
    if not_in_directory == bool(user or of_subscription):
        raise click.UsageError("say whose keys: --user, --subscription or both of them, or --not-in-directory")
    with _operator(values) as (operator, settings):
        users = _gone(operator, settings) if not_in_directory else [user]
        done = {name: operator.bulk_revoke(name, of_subscription, dry_run=dry_run).keys for name in users}
        total = sum(done.values())
        if output == "json":
            found = {"dryRun": dry_run, "keys": total, "users": done if not_in_directory else None}
            click.echo(json.dumps(found, indent=2, ensure_ascii=False))
            return
        for name, count in done.items():
            click.echo(f"{count:>6}  {plain(name or of_subscription)}")
        click.echo(f"{total:>6}  {'would be revoked, nothing is changed' if dry_run else 'revoked'}")


def _gone(operator: Operator, settings: Settings) -> list[str]:
    """The owners of active keys whom the directory does not have, or has disabled."""
    from maas_api.membership.assembly import read_once

    roster = read_once(settings)
    if not any(roster.groups.values()):
        raise ConfigError("--not-in-directory: the directory has nobody in it, so everybody's keys would be revoked")
    return operator.owners(lambda name: name in roster.disabled or not roster.listed(name))


@_command("rotate")
@click.argument("key_id")
@click.option(
    "--grace", default=0, metavar="SECONDS", help="How long the present secret stays valid. Default: not at all."
)
def rotate(output: str, key_id: str, grace: int, **values: Any) -> None:
    """Give a key a new secret and print it. It is shown here and never again."""
    with _operator(values) as (operator, _settings):
        from maas_api.keys.http.key_json import rotated_json

        _print_record(rotated_json(operator.rotate(key_id, grace)), output)


@_command("budget")
@click.argument("key_id")
@click.argument("budget", metavar="BUDGET")
def budget(output: str, key_id: str, budget: str, **values: Any) -> None:
    """Replace what a key may spend: '100000 tokens/day', or 'none'. In force at its next call."""
    asked = None if budget == "none" else _budget(budget)
    with _operator(values) as (operator, _settings):
        from maas_api.keys.http.key_json import as_json

        _print_record(as_json(operator.set_budget(key_id, asked), operator.now()), output)


def _budget(text: str) -> list[dict[str, Any]]:
    from maas_api.keys.budget import BudgetError, as_json, from_text

    try:
        return as_json(from_text(text))
    except BudgetError as fault:
        raise click.UsageError(f"budget: {fault}") from None


keys.add_command(export)
keys.add_command(import_keys)


@contextmanager
def _operator(values: dict[str, Any]) -> Iterator[tuple[Operator, Any]]:
    """The operator on the store of these options."""
    with opened(values) as (database, settings):
        from maas_api.keys.operator import Operator
        from maas_api.keys.statements.store import KeyStore

        yield Operator(settings, KeyStore(database, settings.tenant_name)), settings


def _print_record(record: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    width = max(map(len, record))
    for name, value in record.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    cells = [list(_LIST), *([_cell(row.get(name, "-")) for name in _LIST] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_LIST))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name}={item}" for name, item in value.items())
    elif isinstance(value, list):
        value = ", ".join(
            f"{item['tokens']} tokens/{item['per']}" if isinstance(item, dict) else str(item) for item in value
        )
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    return plain(value)
