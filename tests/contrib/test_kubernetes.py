"""The manifests are valid for Kubernetes and fit the program."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import codecs
from msgspec import ValidationError

from router.admin.api.routes import ENDPOINTS
from router.cli.commands.serve import serve

FOLDER = Path(__file__).parents[2] / "contrib" / "kubernetes"


def _objects() -> Iterator[dict[str, Any]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


OBJECTS = list(_objects())


def _one(kind: str) -> dict[str, Any]:
    [found] = [one for one in OBJECTS if one["kind"] == kind]
    return found


def _container() -> dict[str, Any]:
    [container] = _one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _read_by_the_api(one: dict[str, Any]) -> dict[str, Any]:
    """The object as read by the API's models, which require the API's keys and drop unknown keys."""
    read: dict[str, Any] = codecs.from_dict(one).to_dict()  # type: ignore[no-untyped-call]
    return read


@pytest.mark.parametrize("one", OBJECTS, ids=lambda one: str(one["kind"]))
def test_each_object_fits_its_schema(one: dict[str, Any]) -> None:
    assert _read_by_the_api(one) == one


def test_the_schema_refuses_a_wrong_key_and_a_wrong_type() -> None:
    deployment = _one("Deployment")
    unknown = {**deployment, "spec": {**deployment["spec"], "replica": 3}}
    wrong = {**deployment, "spec": {**deployment["spec"], "replicas": "three"}}

    assert _read_by_the_api(unknown) == deployment
    with pytest.raises(ValidationError):
        _read_by_the_api(wrong)


def test_serve_knows_each_variable_of_the_manifests() -> None:
    known = {option.envvar for option in serve.params if isinstance(option.envvar, str)}

    assert {one["name"] for one in _container()["env"]} <= known


def test_probes_use_paths_of_the_admin_listener() -> None:
    container = _container()
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert paths == {"/-/healthy", "/-/ready"}
    assert paths <= {endpoint.path for endpoint in ENDPOINTS}


def test_the_rules_in_the_config_map_load(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    text = _one("ConfigMap")["data"]["rules.yaml"]
    secret = tmp_path / "github"
    secret.write_text("0123456789abcdef0123456789abcdef")
    secret.chmod(0o600)
    rules = tmp_path / "rules.yaml"
    rules.write_text(re.sub(r"/run/secrets/webhook-router/github", str(secret), text))

    done = run("check", "--strict", rules)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_grace_period_is_longer_than_a_stop_of_serve() -> None:
    grace = next(option.default for option in serve.params if option.name == "grace")
    assert isinstance(grace, float)

    assert _one("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= grace + 30 + 5
