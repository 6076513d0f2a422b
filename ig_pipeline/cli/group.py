"""A group of commands whose help shows the first sentence of each command whole, where click cuts it to a line."""

import click


class Group(click.Group):
    """`click.Group`, with help for reading."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their first sentences, wrapped instead of cut."""
        rows = [(name, command.get_short_help_str(limit=500)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
