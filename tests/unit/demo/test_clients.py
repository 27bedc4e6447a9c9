"""The line that the demo prints for a client sets what the client was tried with."""

from __future__ import annotations

import shlex

import pytest

from maas_api.demo.clients import LINES, Line, lines
from tests.clients.program import every

PROGRAMS = {program.title: program for program in every()}
PLACES = {"$openai": "$MAAS_URL/v1", "$anthropic": "$MAAS_URL", "$key": "$API_KEY"}


def test_each_is_one_line_below_its_clients_name() -> None:
    assert lines().splitlines() == [text for line in LINES for text in (f"# {line.client}", line.command)]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.client)
def test_it_sets_what_the_client_was_tried_with(line: Line) -> None:
    program = PROGRAMS[line.client]
    words = shlex.split(line.command)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if program.recorded:  # nothing of it is run: what is set is told in words
        wanted = dict(text.replace("$KEY", "$API_KEY").split("=", 1) for text in program.set)
    else:
        wanted = {name: PLACES[value] for name, value in program.env.items() if value in PLACES}
    assert wanted.items() <= given.items()
    for file in program.files.values():
        if "base_url" in file:
            assert given["model_providers.maas.base_url"] == "$MAAS_URL/v1"
            assert f'env_key = "{given["model_providers.maas.env_key"]}"' in file
            assert f'wire_api = "{given["model_providers.maas.wire_api"]}"' in file
