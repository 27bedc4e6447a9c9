"""Ready-to-paste commands for a demo that is kept running."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta

from maas_api.demo.one_url import ROOT_CALLS
from maas_api.demo.seed import CALLS
from maas_api.demo.stack import Stack
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import NoTokens
from maas_api.page.sessions import Sessions
from maas_api.page.signing import digest
from maas_api.page.statements import PageStore
from maas_api.store.database import open_database
from maas_api.store.tables import DEFAULT_TENANT


def shell(stack: Stack, key: str) -> str:
    """Commands for a shell. The key appears once, in its ``export``."""
    tokens = shlex.quote(str(stack.secrets / "tokens.yaml"))
    lines = [
        f"export MAAS_URL={stack.url}",
        f"export API_KEY={key}",
        "",
        'curl -s "$MAAS_URL/v1/models" -H "Authorization: Bearer $API_KEY"',
    ]
    for call in CALLS:
        lines += ["", f"# {call.model}, {call.label}", _curl(call.path, dict(call.body))]
    for root in ROOT_CALLS:
        lines += ["", f"# {root.call.model} at the one URL", _curl(root.call.path, dict(root.call.body))]
    lines += [
        "",
        "# the same, streamed",
        _curl(CALLS[1].path, {**call_without_limit(1), "stream": True}, "-sN"),
        "",
        f"# another key, as the platform user {stack.user.username}",
        f"TOKEN=$(sed -n 's/.*token: //p' {tokens} | head -1)",
        'curl -s "$MAAS_URL/maas-api/v1/api-keys" -H "Authorization: Bearer $TOKEN" '
        '-H "Content-Type: application/json" -d \'{"name":"mine","expiresIn":"1d"}\'',
    ]
    return "\n".join(lines)


def call_without_limit(number: int) -> dict[str, object]:
    """The body of a validation call, without its token limit where the provider allows that."""
    return {name: value for name, value in CALLS[number].body.items() if name != "max_tokens"}


def _curl(path: str, body: dict[str, object], options: str = "-s") -> str:
    text = json.dumps(body, separators=(",", ":"))
    return (
        f'curl {options} "$MAAS_URL{path}" -H "Authorization: Bearer $API_KEY" '
        f"-H \"Content-Type: application/json\" -d '{text}'"
    )


def page_links(stack: Stack) -> dict[str, str]:
    """User -> a link that signs that user in at the page, once. The code stands behind the #: no browser sends that."""
    database = open_database(f"sqlite:///{stack.folder / 'maas-api.db'}")
    rows = PageStore(database, DEFAULT_TENANT)
    sessions = Sessions(rows, NoTokens(), timedelta(), lambda: datetime.now(UTC))
    try:
        return {
            user.username: f"{stack.service_url}/ui/sign-in#code="
            + sessions.link(Identity(user.username, user.groups), digest(user.token))
            for user in (stack.user, stack.admin)
        }
    finally:
        database.stop()


def python() -> str:
    """The same with the official SDKs; the key and the address come from the exported variables."""
    local, gpt, claude = CALLS
    return f"""\
import os
from anthropic import Anthropic
from openai import OpenAI

url, key = os.environ["MAAS_URL"], os.environ["API_KEY"]
hello = [{{"role": "user", "content": "Hello"}}]

for model in OpenAI(base_url=f"{{url}}/v1", api_key=key).models.list():
    print(model.id, model.owned_by)

anywhere = OpenAI(base_url=f"{{url}}/v1", api_key=key)  # every model at the one URL; below, each on its own path
for model in ("{local.model}", "{gpt.model}", "{claude.model}"):
    print(anywhere.chat.completions.create(model=model, messages=hello, max_tokens=5).choices[0].message.content)

openai = OpenAI(base_url=f"{{url}}{gpt.base}/v1", api_key=key)
print(openai.chat.completions.create(model="{gpt.model}", messages=hello, max_tokens=5).choices[0].message.content)

anthropic = Anthropic(base_url=f"{{url}}{claude.base}", api_key=key)
print(anthropic.messages.create(model="{claude.model}", messages=hello, max_tokens=5).content[0].text)

local = OpenAI(base_url=f"{{url}}{local.base}/v1", api_key=key)
print(local.chat.completions.create(model="{local.model}", messages=hello, max_tokens=10).choices[0].message.content)
"""
