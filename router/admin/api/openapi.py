"""The OpenAPI document (3.1) of the admin listener, from the table of its endpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

from router import __version__
from router.actions.registry import ACTIONS
from router.admin.api.endpoint import Endpoint, ResponseSpec, Run
from router.admin.api.replies import PROBLEM_TYPE, json_reply
from router.admin.api.schema_parts import ref
from router.admin.api.schemas import schemas
from router.domain.reply import Reply

_DESCRIPTION = """What an operator does with a running webhook-router, for programs. See docs/api.md.

A GET may be a HEAD as well. Any other method is answered 405, with `Allow`. Every error is problem+json."""


def endpoint(run: Run) -> Endpoint:
    """The endpoint that serves the document."""
    spec = ResponseSpec("This document.", {"type": "object"})
    return Endpoint("GET", "/api/openapi.json", "This document.", run, {200: spec}, limit=None)


def reply(endpoints: Sequence[Endpoint]) -> Reply:
    """The document as a reply."""
    return json_reply(document(endpoints))


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "webhook-router", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "http://127.0.0.1:8081", "description": "As `--admin` has it by default."}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "The admin token."}},
            "schemas": {**schemas(ACTIONS), **_bodies(endpoints)},
        },
    }


def _operation(one: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(one),
        "summary": one.summary,
        "parameters": [*map(_in_path, one.path_fields), *_in_query(one)],
        "responses": _responses(one),
    }
    if one.is_open:
        # Without the token on loopback, elsewhere with it.
        operation["security"] = [{}, {"token": []}]
    if one.body:
        # Any YAML is accepted; the reply lists what is wrong with it.
        schema: Mapping[str, Any] = {} if isinstance(one.body, str) else ref(one.body.__name__)
        operation["requestBody"] = {
            "required": True,
            "content": {name: {"schema": schema} for name in one.body_types},
        }
    return {key: value for key, value in operation.items() if value != []}


def _name(one: Endpoint) -> str:
    """Its name, such as `get-deliveries-id`."""
    words = [word for word in one.path.replace("openapi.json", "openapi").split("/") if word not in ("", "api", "-")]
    return "-".join([one.method.lower(), *(word.strip("{}") for word in words)])


def _in_path(name: str) -> dict[str, Any]:
    more = " Its slashes may be written as they are, or as %2F." if name == "name" else ""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"The {name}.{more}",
        "schema": {"type": "string", "minLength": 1},
    }


def _in_query(one: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": parameter.schema,
            **({"style": "form", "explode": True} if parameter.repeatable else {}),
        }
        for parameter in one.parameters or ()
    ]


def _responses(one: Endpoint) -> dict[str, Any]:
    found: dict[int, dict[str, Any]] = {}
    for status, spec in one.responses.items():
        schema = ref(spec.schema) if isinstance(spec.schema, str) else spec.schema or {"type": "string"}
        found[status] = {"description": spec.description, "content": {spec.content_type: {"schema": schema}}}
    for status, meaning in one.statuses().items():
        problem = {PROBLEM_TYPE: {"schema": ref("Problem")}}
        if status in found:
            found[status]["content"] |= problem
            continue
        found[status] = {"description": meaning, "content": problem}
    return {str(status): found[status] for status in sorted(found)}


def _bodies(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in endpoints:
        if one.body and not isinstance(one.body, str):
            schema = one.body.model_json_schema(ref_template="#/components/schemas/{model}")
            found |= schema.pop("$defs", {})
            found[one.body.__name__] = schema
    return found
