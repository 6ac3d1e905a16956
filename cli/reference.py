"""The command line reference, made from the commands themselves.

python -m tfdrift_cli.reference > docs/cli.md
"""

from collections.abc import Iterator

import click

from .main import cli


def walk(
    command: click.Command, path: tuple[str, ...] = ("tfdrift",), parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield (name, command, context) of a command and everything below it, with the contexts a call would make."""
    # Click keeps a command's help option from its first context, so any other one would depend on what ran before.
    settings = {**command.context_settings, "terminal_width": 100}
    context = click.Context(command, parent, info_name=path[-1], **settings)
    yield " ".join(path), command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, f"{name} is listed and does not exist"
            yield from walk(below, (*path, name), context)


def reference() -> str:
    """Return the reference as Markdown: the `--help` of each command."""
    parts = ["# Command line", "Made by `make docs` from the commands themselves."]
    for name, command, context in walk(cli):
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
