"""`sources` prints the facts about each provider, and docs/sources.md has the same facts."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from contrib.sources_page import PAGE, with_presets
from router.cli.printing.settings import print_settings
from router.cli.starters.preset_starters import all_starters
from router.daemon.registries import REGISTRIES
from router.intake.verify.preset import presets
from router.rules.compile.loader import Loader
from tests.conftest import run_in_process

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def sources(tmp_path: Path) -> Run:
    """Return a function that runs `sources` in an empty folder."""

    def run(*arguments: str) -> CompletedProcess[str]:
        return run_in_process("sources", *arguments, folder=tmp_path)

    return run


def test_the_list_names_every_provider_and_those_that_can_not_be_verified(sources: Run) -> None:
    lines = sources("list").stdout.splitlines()[1:]
    listed = json.loads(sources("list", "--json").stdout)

    assert [line.split()[0] for line in lines] == sorted(presets()) == [one["name"] for one in listed]
    assert [line.split()[0] for line in lines if "can't be verified" in line] == [
        one["name"] for one in listed if one["scheme"] is None
    ]


def test_sources_show_prints_every_fact_about_a_provider(sources: Run) -> None:
    for preset in presets().values():
        done = sources("show", preset.name)

        assert done.returncode == 0, done.stderr
        assert preset.page in done.stdout
        assert f"of {preset.date}; not tried with the provider itself" in done.stdout
        assert ("test vector" in done.stdout) == (preset.vector is not None)
        assert done.stdout.count("answers") >= len(preset.source.get("probes", ()))
        shown = json.loads(sources("show", preset.name, "--json").stdout)
        assert shown["vector"] == preset.vector
        assert shown["options"] == preset.options


def test_an_unknown_provider_is_an_error_with_the_nearest_name(sources: Run) -> None:
    done = sources("show", "lineer")

    assert (done.returncode, done.stdout) == (1, "")
    assert "unknown provider 'lineer'" in done.stderr
    assert "linear" in done.stderr


def test_the_page_of_sources_is_up_to_date() -> None:
    page = PAGE.read_text()

    assert with_presets(page) == page, "python contrib/sources_page.py writes it"
    for preset in presets().values():
        assert f"\n### {preset.name}\n" in page
        assert f"From the documentation of {preset.date}: <{preset.page}>." in " ".join(page.split())


def test_the_settings_of_every_preset_can_be_printed_and_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = 'rules: [{name: all, source: "*", actions: [append: out/all.jsonl]}]\n'
    made = [starter for name, starter in all_starters().items() if name in presets()]
    text = "sources:\n" + "".join(starter.sources for starter in made)
    loader = Loader(REGISTRIES, {}, require_secrets=False)
    first = loader.load(text + rules, "rules.yaml", tmp_path).require()
    print_settings(first)
    second = loader.load(capsys.readouterr().out + rules, "rules.yaml", tmp_path).require()

    assert {name: source.settings for name, source in second.sources.items()} == {
        name: source.settings for name, source in first.sources.items()
    }


RULES = """
sources: {s: {verify: none}}
rules:
  - name: order
    match: {"$.order.item[*]": b}
    actions: [append: {path: a.jsonl, line: "{{ payload.order['@id'] }} {{ payload.file.size }}"}]
"""
MULTIPART = b"""--b\r\nContent-Disposition: form-data; name="order"; filename="a"\r\n\r\nabc\r\n--b--\r\n"""


def test_the_commands_test_and_send_recognize_xml_and_multipart_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "order.xml").write_bytes(b'<order id="7"><item>a</item><item>b</item></order>')
    (tmp_path / "form").write_bytes(MULTIPART)

    tested = run_in_process("test", "rules.yaml", "--payload", "order.xml", "--explain", folder=tmp_path)
    assert "+ order: matched" in tested.stdout
    assert '$.order.item[*] is "a", "b"' in tested.stdout
    rules = RULES.replace('"$.order.item[*]": b', "$.order.filename: a").replace("order['@id']", "order.size")
    (tmp_path / "rules.yaml").write_text(rules.replace("payload.file.size", "payload.order.filename"))
    tested = run_in_process("test", "rules.yaml", "--payload", "form", folder=tmp_path)
    assert "line: 3 a" in tested.stdout
    for file, content_type in (("order.xml", "application/xml"), ("form", 'multipart/form-data; boundary="b"')):
        assert f"Content-Type: {content_type}\n" in run_in_process("send", file, "--dry-run", folder=tmp_path).stdout


def test_a_plugins_scheme_is_listed_with_the_command_that_shows_it(tmp_path: Path) -> None:
    listed = run_in_process("sources", "list", folder=tmp_path)
    shown = run_in_process("sources", "show", "gitlab", folder=tmp_path)

    assert "Providers with their own scheme: deepgram, discord, gitlab," in listed.stderr
    assert shown.returncode == 1
    assert "webhook-router init --source gitlab" in shown.stderr
