"""The OpenAPI document in docs/ is current, and describes every parameter and answer of each endpoint."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from router.actions.registry import ACTIONS
from router.admin.api.endpoint import Endpoint
from router.admin.api.openapi import document
from router.admin.api.routes import ENDPOINTS, body_limit
from router.admin.api.schemas import schemas
from router.domain.listen_address import ListenAddress
from tests.admin.conftest import DOCUMENT
from tests.cases import each

ROOT = Path(__file__).parents[3]
API = (ROOT / "docs" / "api.md").read_text()


def test_the_documented_openapi_file_matches_the_code() -> None:
    """To update it: `webhook-router openapi > docs/openapi.json`."""
    assert json.loads((ROOT / "docs" / "openapi.json").read_text()) == document(ENDPOINTS)


def test_the_openapi_document_has_exactly_the_endpoints() -> None:
    operations = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}

    assert operations == {(one.method, one.path) for one in ENDPOINTS}
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


@each("one", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_every_operation_lists_its_parameters_and_statuses(one: Endpoint) -> None:
    operation = DOCUMENT["paths"][one.path][one.method.lower()]

    listed = operation.get("parameters", [])
    assert [p["name"] for p in listed if p["in"] == "query"] == [p.name for p in one.parameters or ()]
    assert [p["name"] for p in listed if p["in"] == "path"] == one.path_fields
    assert {int(status) for status in operation["responses"]} == {*one.responses, *one.statuses()}
    assert ("requestBody" in operation) == bool(one.body)
    assert ({} in operation.get("security", DOCUMENT["security"])) == one.is_open


def test_every_schema_is_valid_and_used() -> None:
    text = json.dumps(DOCUMENT)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f'"#/components/schemas/{name}"' in text, name
    for name in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert name in DOCUMENT["components"]["schemas"], name
    assert set(schemas(ACTIONS)) <= set(DOCUMENT["components"]["schemas"])


def test_the_api_page_documents_every_endpoint_key_and_parameter() -> None:
    words = set(re.findall(r"[\w/{}.-]+", API))
    for one in ENDPOINTS:
        assert one.path in words, one.path
        for parameter in one.parameters or ():
            assert f"`{parameter.name}`" in API or f"{parameter.name}=" in API, parameter.name
        if one.body and not isinstance(one.body, str):
            for key in (field.alias or name for name, field in one.body.model_fields.items()):
                assert f"`{key}`" in API or f'"{key}"' in API, key
        for status in {*one.responses, *one.statuses()}:
            assert re.search(rf"\b{status}\b", API), status


def test_only_endpoints_that_take_a_rules_file_accept_a_large_body() -> None:
    assert body_limit("/api/rules/check") == 16 * 1024**2
    assert body_limit("/api/rules/test") == body_limit("/anything") == 1024**2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_probes_need_no_token_on_loopback(host: str) -> None:
    assert ListenAddress(host, 8081).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example", "example", "", "fe80::1%lo"])
def test_every_other_address_needs_a_token(host: str) -> None:
    assert not ListenAddress(host, 8081).is_loopback
