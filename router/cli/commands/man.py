"""`webhook-router man`: prints the manual page, made from the help of all commands."""

import click

_HELP = """Print the manual page, in the format of man(7), made from the help of all commands.

\b
Examples:
  webhook-router man | man -l -
  webhook-router man > /usr/local/share/man/man1/webhook-router.1

Exit codes: 0 done, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Print the manual page.")
@click.pass_context
def man(context: click.Context) -> None:
    """Print the page."""
    from router.cli.manual import manual_page  # noqa: PLC0415 - `--help` need not wait

    root = context.find_root()
    assert isinstance(root.command, click.Group)
    click.echo(manual_page(root.command), nl=False)
