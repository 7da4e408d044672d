"""`webhook-router completion`: prints the script with which a shell completes commands, flags and names."""

import click

_HELP = """Print a script with which your shell completes commands, flags, names and ids.

\b
Examples:
  webhook-router completion bash > /etc/bash_completion.d/webhook-router
  webhook-router completion bash > ~/.local/share/bash-completion/completions/webhook-router
  webhook-router completion zsh > "${fpath[1]}/_webhook-router"
  webhook-router completion fish > ~/.config/fish/completions/webhook-router.fish
  eval "$(webhook-router completion bash)"             (for this shell only)

Names of rules, actions, targets and sources are completed from the rules file and the store that the line names (by
default rules.yaml and webhook-router.db), ids from the newest events and deliveries. Exit codes: 0 done, 2 wrong usage.
"""
_VARIABLE = "_WEBHOOK_ROUTER_COMPLETE"  #: click's, for this program


@click.command(help=_HELP, short_help="Print a script that lets your shell complete names.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script."""
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415 - `--help` need not wait

    found = get_completion_class(shell)
    assert found is not None
    script = found(context.find_root().command, {}, "webhook-router", _VARIABLE)
    # click's class for bash runs bash to check its version; but the script is often made for another machine.
    click.echo(ShellComplete.source(script).rstrip("\n"))
