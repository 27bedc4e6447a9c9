"""A group of commands whose help gives every command's sentence whole."""

from __future__ import annotations

import click


class WholeSentences(click.Group):
    """A group whose help gives every command's sentence whole, where click cuts it to a line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and what each is for."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
