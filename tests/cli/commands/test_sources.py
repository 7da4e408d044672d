"""`sources` prints what is known of providers, and docs/sources.md says the same."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from contrib.sources_page import PAGE, with_presets
from router.intake.verify.preset import presets
from tests.conftest import run_in_process

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def sources(tmp_path: Path) -> Run:
    """Run sources in an empty folder."""

    def run(*arguments: str) -> CompletedProcess[str]:
        return run_in_process("sources", *arguments, folder=tmp_path)

    return run


def test_the_list_names_every_provider_and_says_which_can_not_be_verified(sources: Run) -> None:
    lines = sources("list").stdout.splitlines()[1:]
    listed = json.loads(sources("list", "--json").stdout)

    assert [line.split()[0] for line in lines] == sorted(presets()) == [one["name"] for one in listed]
    assert [line.split()[0] for line in lines if "can't be verified" in line] == [
        one["name"] for one in listed if one["scheme"] is None
    ]


def test_show_prints_all_that_is_known(sources: Run) -> None:
    for preset in presets().values():
        done = sources("show", preset.name)

        assert done.returncode == 0, done.stderr
        assert preset.page in done.stdout
        assert f"of {preset.date}; no provider was reached" in done.stdout
        assert ("test vector" in done.stdout) == (preset.vector is not None)
        assert done.stdout.count("answers") >= len(preset.source.get("probes", ()))
        shown = json.loads(sources("show", preset.name, "--json").stdout)
        assert shown["vector"] == preset.vector
        assert shown["options"] == preset.options


def test_an_unknown_provider_is_an_error_with_the_nearest_name(sources: Run) -> None:
    done = sources("show", "lineer")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no provider is known as 'lineer'" in done.stderr
    assert "linear" in done.stderr


def test_the_page_of_sources_is_up_to_date() -> None:
    page = PAGE.read_text()

    assert with_presets(page) == page, "python contrib/sources_page.py writes it"
    for preset in presets().values():
        assert f"\n### {preset.name}\n" in page
        assert f"From the documentation of {preset.date}: <{preset.page}>." in " ".join(page.split())
