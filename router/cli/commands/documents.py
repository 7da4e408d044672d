"""`webhook-router schema` and `webhook-router openapi`: documents for editors and for programs."""

import json

import click

_SCHEMA_HELP = """Print the JSON Schema of a rules file, or of one that it includes, for an editor.

\b
Examples:
  webhook-router schema > rules.schema.json
  webhook-router schema --included > included.schema.json
  # yaml-language-server: $schema=rules.schema.json      (as the first line of rules.yaml)
"""


_OPENAPI_HELP = """Print the OpenAPI document of the admin listener: its paths, parameters and responses.

\b
Examples:
  webhook-router openapi > openapi.json
  webhook-router openapi | jq '.paths | keys'
"""


@click.command(help=_SCHEMA_HELP, short_help="Print the JSON Schema of the rules file, for editors.")
@click.option("--included", is_flag=True, help="Print the schema of an included file.")
def schema(*, included: bool) -> None:
    """Print the JSON Schema."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415 - `--help` need not wait
    from router.rules.compile.json_schema import json_schema  # noqa: PLC0415

    click.echo(json.dumps(json_schema(REGISTRIES, included=included), indent=2, ensure_ascii=False))


@click.command(help=_OPENAPI_HELP, short_help="Print the OpenAPI document of the admin listener.")
def openapi() -> None:
    """Print the document."""
    from router.admin.api.openapi import document  # noqa: PLC0415 - `--help` need not wait
    from router.admin.api.routes import ENDPOINTS  # noqa: PLC0415

    click.echo(json.dumps(document(ENDPOINTS), indent=2, ensure_ascii=False))
