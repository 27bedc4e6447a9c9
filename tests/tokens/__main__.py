"""``make tokens``: the table of tokens with the answer to each, and ``!`` where it is not what the table says."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import click

from tests.tokens.cases import CASES
from tests.tokens.world import world


def main() -> None:
    """Print it. Raises SystemExit where an answer is wrong."""
    logging.getLogger("maas_api").addHandler(logging.NullHandler())
    width = max(len(case.name) for case in CASES)
    wrong = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as made:
            answer = made.ask(case.make(made))
        right = answer.status == case.status and (
            answer.who == case.expected if answer.who is not None else str(case.expected) in answer.says
        )
        wrong += not right
        said = answer.says if answer.who is None else f"{answer.who[0]} in {', '.join(answer.who[1])}"
        click.echo(f"{case.name:{width}}  {answer.status}{'' if right else '!'}  {said[:140]}")
    click.echo(f"\n{len(CASES)} tokens, {wrong} not answered as the table says")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
