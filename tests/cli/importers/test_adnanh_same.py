"""The imported rules answer like adnanh/webhook: on generated hooks, by its recorded answers and beside the program.

`python -m tests.cli.importers.test_adnanh_same` records the answers again.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.importers.adnanh_program import ADNANH, running_adnanh, write_show
from tests.cli.importers.adnanh_program import answer as adnanh_answer
from tests.cli.importers.generated_hooks import Request, corpus
from tests.cli.importers.imported_hooks import DASH, UNPARSED, answer, load
from tests.conftest import run_in_process

RECORDED = Path(__file__).with_name("adnanh_answers.json")
#: Requests that webhook runs and the imported rules refuse; docs/from-adnanh.md lists them.
STRICTER = (UNPARSED, DASH)
_PROGRAM = "PROGRAM"  #: stands for the path of the hooks' program in the recording


def import_hooks(hooks: list[dict[str, Any]], folder: Path) -> Any:
    """Import hooks and load the rules."""
    (folder / "hooks.json").write_text(json.dumps(hooks))
    command = ("import", "adnanh", "hooks.json", "--output", "rules.yaml", "--secrets", "secrets.env", "--force")
    done = run_in_process(*command, folder=folder)
    assert (folder / "rules.yaml").exists(), done.stderr
    return load(folder / "rules.yaml", folder / "secrets.env")


def differences(
    hooks: list[dict[str, Any]], requests: list[Request], expected: list[str | None], folder: Path
) -> list[str]:
    """Each request that the imported rules answer in another way. Hooks that are switched off don't count."""
    ruleset = import_hooks(hooks, folder)
    on = {source.path.removeprefix("/hooks/") for source in ruleset.sources.values() if source.enabled}
    by_id = {hook["id"]: hook for hook in hooks}
    found = []
    for request, wanted in zip(requests, expected, strict=True):
        got = answer(ruleset, request) if request.hook in on else wanted
        if got != wanted and got not in STRICTER:
            found.append(f"{json.dumps(by_id[request.hook])}\n{request}\nwebhook: {wanted!r}\nhere:    {got!r}")
    return found


def test_imported_hooks_give_the_recorded_answers_of_webhook(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text())
    program = write_show(tmp_path / "bin")
    hooks = json.loads(json.dumps(recorded["hooks"]).replace(f'"{_PROGRAM}"', json.dumps(str(program))))
    requests = [Request(**{**one, "headers": tuple(map(tuple, one["headers"]))}) for one in recorded["requests"]]

    assert differences(hooks, requests, recorded["answers"], tmp_path) == []
    triggered = [text for text in recorded["answers"] if text is not None]
    assert 0.2 < len(triggered) / len(requests) < 0.8


@pytest.mark.skipif(ADNANH is None, reason="adnanh/webhook is not installed (Debian: apt-get install webhook)")
@pytest.mark.parametrize("seed", [11, 12])
def test_imported_hooks_give_the_answers_of_a_running_webhook(seed: int, tmp_path: Path) -> None:
    program = write_show(tmp_path / "bin")
    hooks, requests = corpus(seed, 50, 3, str(program))
    with running_adnanh(hooks, tmp_path) as port:
        expected = [adnanh_answer(port, request) for request in requests]

    assert differences(hooks, requests, expected, tmp_path) == []


def record() -> None:
    """Record the answers of adnanh/webhook."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = write_show(folder / "bin")
        hooks, requests = corpus(1, 50, 3, str(program))
        with running_adnanh(hooks, folder) as port:
            answers = [adnanh_answer(port, request) for request in requests]
        kept: dict[str, list[Any]] = {
            "hooks": hooks,
            "requests": [vars(request) for request in requests],
            "answers": answers,
        }
        parts = (f'"{key}": [\n' + ",\n".join(map(json.dumps, values)) + "\n]" for key, values in kept.items())
        text = "{" + ",\n".join(parts) + "}\n"
        RECORDED.write_text(text.replace(json.dumps(str(program)), f'"{_PROGRAM}"'))


if __name__ == "__main__":
    record()
