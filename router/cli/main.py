"""The command line: all commands, and the exit code of each error."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from router import __version__
from router.cli.commands.check import check
from router.cli.commands.completion import completion
from router.cli.commands.deliveries import deliveries
from router.cli.commands.documents import openapi, schema
from router.cli.commands.events import events
from router.cli.commands.healthy import healthy
from router.cli.commands.import_hooks import import_group
from router.cli.commands.init import init
from router.cli.commands.man import man
from router.cli.commands.plan import plan
from router.cli.commands.reload import reload
from router.cli.commands.send import send
from router.cli.commands.serve import serve
from router.cli.commands.sources import sources
from router.cli.commands.status import status
from router.cli.commands.store import store as store_commands
from router.cli.commands.tail import tail
from router.cli.commands.targets import targets
from router.cli.commands.test import test
from router.cli.completion import complete_names
from router.cli.standard_streams import drop_output, is_output_error, open_standard_streams
from router.domain.errors import RouterError, RulesError, StartError, StoreUnusable

FAILED, USAGE, NOT_STARTED = 1, 2, 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="webhook-router")
def cli() -> None:
    """Route each webhook to the service, script or file it is meant for, by rules in one YAML file.

    \b
    webhook-router init                   write a rules file to start from
    webhook-router check rules.yaml       find mistakes in the file
    webhook-router test rules.yaml …      see what the rules would do with a payload
    webhook-router plan rules.yaml        see what a changed file would do to yesterday's events
    webhook-router serve rules.yaml       run the daemon
    webhook-router send FILE --source S   post a payload to it, signed as the provider would
    webhook-router tail                   watch events and attempts
    webhook-router status                 see what waits or fails
    webhook-router deliveries list        see what became of each delivery
    """


for _command in (
    init,
    import_group,
    check,
    test,
    plan,
    serve,
    send,
    tail,
    status,
    events,
    deliveries,
    targets,
    store_commands,
    reload,
    healthy,
    sources,
    schema,
    openapi,
    completion,
    man,
):
    cli.add_command(_command)
complete_names(cli)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line. Only here do exceptions become exit codes."""
    open_standard_streams()
    try:
        result = cli.main(arguments, prog_name="webhook-router", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()  # an error can be reported here, but no longer at exit
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except RulesError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        click.echo("webhook-router: could not start: the rules file has problems, listed above", err=True)
        code = NOT_STARTED
    except (StartError, StoreUnusable) as error:
        click.echo(f"webhook-router: could not start: {error}", err=True)
        code = NOT_STARTED
    except RouterError as error:
        click.echo(f"webhook-router: {error}", err=True)
        code = FAILED
    except BrokenPipeError:
        # The reader of our output is gone; a write at exit would fail again.
        drop_output()
        code = FAILED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        _print_unexpected(error)
        code = FAILED
    sys.exit(code)


def _print_unexpected(error: Exception) -> None:
    import structlog  # noqa: PLC0415 - a command that succeeds need not wait

    if isinstance(error, OSError) and is_output_error(error):
        drop_output()
        click.echo(f"webhook-router: the output can't be written: {error.strerror}", err=True)
    elif structlog.is_configured():
        structlog.get_logger().error("unexpected fault; please report it", exc_info=error)
    else:
        click.echo(f"webhook-router: unexpected fault; please report it: {type(error).__name__}: {error}", err=True)
