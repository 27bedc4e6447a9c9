"""``maas-api demo``: the whole request flow on one machine."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_api.demo.own_provider import OwnProvider
    from maas_api.demo.report import Report
    from maas_api.demo.stack import Stack

REAL_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Provider -> the environment variable of its key, as the provider's own SDK reads it."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running, print commands to paste, follow edits. Ctrl-C ends it.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="The gateway's port; 0 for a free one."
)
@click.option(
    "--real",
    is_flag=True,
    help="Call OpenAI and Anthropic themselves, where OPENAI_API_KEY and ANTHROPIC_API_KEY are set.",
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME=URL",
    help="A provider of your own, as mistral=https://api.mistral.ai,model=mistral-small-latest; ca=FILE names who"
    " vouches for it. Its key is read from MISTRAL_API_KEY. May be repeated.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin, as http://localhost:3000, call from a browser; * for any. May be repeated.",
)
@click.option("--oidc", is_flag=True, help="With an OpenID Connect issuer: a user of it signs in, mints and calls.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the result."
)
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def demo(
    *,
    keep: bool,
    port: int,
    real: bool,
    providers: tuple[str, ...],
    cors_origins: tuple[str, ...],
    oidc: bool,
    output: str,
    quiet: bool,
) -> None:
    """One key, three models, one command: the whole request flow on this machine.

    Starts a model server and the APIs of OpenAI and Anthropic as simulators, `maas-api serve`, and a real Envoy as
    the gateway in front of them. Mints one sk-oai- key, calls a local, an OpenAI and an Anthropic model with it, each
    on its own path and all at one base URL, and measures what must hold beside that: bad and revoked keys are refused,
    forged identities ignored, provider keys and MaaS keys kept apart, streams passed on as they come, and nothing is
    let in while maas-api is down.

    Everything listens on 127.0.0.1 and lives in a temporary folder. The result goes to standard output, progress to
    standard error. Exit code 0: every line is PASS; 1: one is not, or something did not start; 2: a wrong option.

    \b
    Examples:
        maas-api demo                          run it, print the table
        maas-api demo --keep --port 8000       then try it with curl and the SDKs
        OPENAI_API_KEY=... maas-api demo --real
        MISTRAL_API_KEY=... maas-api demo --keep --provider mistral=https://api.mistral.ai,model=mistral-small-latest
    """
    say = _progress(quiet=quiet)
    keys = real_keys(say) if real else {}
    try:
        from maas_api.demo.stack import Stack  # needs the optional parts, which only this command uses
    except ModuleNotFoundError as fault:
        raise click.ClickException(f"{fault.name} is not installed: in the checkout, pip install '.[demo]'") from None
    own = _own(providers)
    from maas_api.gateway.envoy.cors import is_origin

    for origin in cors_origins:
        if not is_origin(origin):
            raise click.BadParameter(
                f"{origin!r}: must be https://host or http://host, with :port, or *", param_hint="--cors-origin"
            )
    logging.getLogger("maas_api").addHandler(logging.NullHandler())  # what is found wrong is told by the demo itself
    for number in _ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, _end)
    folder = Path(tempfile.mkdtemp(prefix="maas-demo-"))
    stack = Stack(folder, real=keys, port=port, own=own, cors_origins=cors_origins, oidc=oidc)
    code = 1
    try:
        code = _walk(stack, say, keep=keep, output=output)
    finally:
        for number in _ENDING:  # nothing may interrupt the cleaning up
            signal.signal(number, signal.SIG_IGN)
        stack.stop()
        if code == 1:
            stack.keep_logs()
            click.echo(f"logs: {stack.logs}, {stack.envoy.folder}", err=True)
        else:
            stack.discard()
    raise SystemExit(code)


def _own(providers: tuple[str, ...]) -> list[tuple[OwnProvider, str]]:
    """The providers that the user brought, with their keys. Raises click.BadParameter."""
    from maas_api.demo.own_provider import its_key, own_provider

    found: list[tuple[OwnProvider, str]] = []
    for text in providers:
        try:
            own = own_provider(text)
            key = its_key(own, os.environ)
        except ValueError as fault:
            raise click.BadParameter(str(fault), param_hint="--provider") from None
        if own.name in REAL_KEYS or own.name in (other.name for other, _ in found):
            raise click.BadParameter(f"{own.name}: is there already", param_hint="--provider")
        found.append((own, key))
    return found


def _walk(stack: Stack, say: Say, *, keep: bool, output: str) -> int:
    """Start, measure, print, stay. Returns the exit code: 0, 1, or 128 and the signal that ended it too early."""
    from maas_api.demo import snippets
    from maas_api.demo.checks import CheckError
    from maas_api.demo.process import StartError
    from maas_api.demo.runner import measure
    from maas_api.gateway.process import EnvoyError

    report = None
    try:
        stack.start(say)
        report, key = measure(stack, say)
        kept = {"gateway": stack.url, "registry": str(stack.registry), "key": key} if keep else {}
        links = snippets.page_links(stack) if keep else {}
        kept |= {f"page_{user}": link for user, link in links.items()}
        _show(report, output, kept)
        if keep:
            _stay(stack, key, links, say, output)
    except (StartError, EnvoyError, CheckError, OSError) as fault:
        click.echo(f"{_styled('FAIL')}: {fault}", err=True, color=_color())
        if output == "json" and report is None:
            click.echo(json.dumps({"passed": False, "reason": str(fault)}, indent=2))
        return 1
    except _Ended as end:
        if report is None:
            click.echo("ended before it was finished", err=True)
            return 128 + end.number
    return 0 if report.passed else 1


def _stay(stack: Stack, key: str, links: dict[str, str], say: Say, output: str) -> None:
    from maas_api.demo import clients, snippets
    from maas_api.demo.follow import Follower

    if output == "text":
        click.echo(
            f"\n# --- shell\n{snippets.shell(stack, key)}\n\n"
            f"# --- Python (pip install openai anthropic)\n{snippets.python()}"
        )
        click.echo(f"# --- from your client: a line each, after the two exports above\n{clients.lines()}\n")
        click.echo("# --- in a browser: the page, by a link that signs in once, within an hour")
        for user, link in links.items():
            click.echo(f"{user}: {link}")
        click.echo(f"\nEdit {stack.registry}")
        click.echo(f"  and the listing follows within a second. The service's log: {stack.service.log}")
    say("running until Ctrl-C")
    Follower(stack, say).run(threading.Event())


def _show(report: Report, output: str, kept: dict[str, str]) -> None:
    from maas_api.demo.report import checklist, one_url_table, table

    if output == "json":
        click.echo(json.dumps({**report.as_json(), **kept}, indent=2))
        return
    lines = ["", *table(report.rows), "", f"One base URL, the same key: {report.url}", ""]
    lines += [*one_url_table(report.one_url), "", *checklist(report.findings), ""]
    if report.passed:
        lines.append("PASS: one MaaS key for every model; the client never has a provider's key, the gateway adds it.")
        if not kept:
            lines += ["", "Next: make demo ARGS=--keep   leaves it running, with commands and SDK code to paste"]
            lines += ["      docs/use.md             says how an application calls the models"]
    else:
        lines.append("FAIL: not every line above holds.")
    _echo("\n".join(lines))


def _echo(text: str) -> None:
    click.echo(re.sub(r"\b(PASS|FAIL)\b", lambda found: _styled(found[0]), text), color=_color())


def _styled(verdict: str) -> str:
    return click.style(verdict, fg="green" if verdict == "PASS" else "red", bold=True)


def _color() -> bool | None:
    return False if os.environ.get("NO_COLOR") else None  # None: colours on a terminal only


def _progress(*, quiet: bool) -> Say:
    begun = time.monotonic()

    def say(sentence: str) -> None:
        if not quiet:
            shown = click.style(f"{time.monotonic() - begun:5.1f} s  {sentence}", dim=True)
            click.echo(shown, err=True, color=_color())

    return say


def real_keys(say: Say) -> dict[str, str]:
    """Provider -> key, of those whose key the environment holds; says which are called for real."""
    keys = {name: os.environ[variable] for name, variable in REAL_KEYS.items() if os.environ.get(variable, "").strip()}
    for name, variable in REAL_KEYS.items():
        say(f"{name}: {'called for real' if name in keys else f'simulated, {variable} is not set'}")
    return keys


class _Ended(BaseException):
    """A signal asked to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _end(number: int, _frame: FrameType | None) -> None:
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise _Ended(number)
