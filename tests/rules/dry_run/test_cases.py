"""Cases of `test --cases`: passing ones, failing ones with a readable difference, and invalid files."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import pytest

from tests.conftest import run_in_process

Run = Callable[..., CompletedProcess[str]]

ROOT = Path(__file__).parents[3]
RULES = """\
sources: {a: {verify: none}}
rules:
  - name: one
    match: {$.x: 1}
    actions:
      - forward: {url: "http://h/p/{{ payload.y }}", body: {json: {y: "{{ payload.y }}"}}}
  - name: two
    match: {$.x: {gte: 1}, query.q: v}
    actions: [append: two.jsonl]
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a command in the folder of the test."""
    return partial(run_in_process, folder=tmp_path)


@pytest.fixture
def test(run: Run, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Return a function that runs cases on the rules above."""

    def begin(cases: str, *flags: str) -> CompletedProcess[str]:
        (tmp_path / "rules.yaml").write_text(RULES)
        (tmp_path / "cases.yaml").write_text(cases)
        return run("test", "rules.yaml", "--cases", "cases.yaml", *flags)

    return begin


def test_the_example_cases_pass(run: Run) -> None:
    done = run("test", ROOT / "rules.example.yaml", "--cases", ROOT / "rules.example.cases.yaml")

    assert done.returncode == 0, done.stdout
    assert "2 of 2 cases as expected" in done.stdout


def test_passing_cases_exit_with_0(test: Run, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"x": 1, "y": "z"}')

    done = test(
        f"""
- {{name: from a file, payload: {{file: body.json}}, expect: {{rules: [one]}}}}
- {{name: inline, payload: {{x: 2}}, query: {{q: v}}, expect: {{rules: [two]}}}}
- {{name: parts, payload: {{x: 2}}, query: {{q: v}}, expect: {{deliveries: [{{append: {{path: {tmp_path}/two.jsonl}}}}]}}}}
- {{name: nothing, payload: {{x: 0}}, expect: {{rules: []}}}}
- {{name: url, payload: {{x: 1, y: 3}}, expect: {{deliveries: [{{rule: one, forward: {{url: http://h/p/3}}}}]}}}}
"""
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 of 5 cases as expected" in done.stdout


KINDS = """\
sources: {a: {verify: none, methods: [POST, PUT]}}
rules:
  - {name: form, match: {$.n: {gt: 5}, "$.l[*]": y}, actions: [append: x]}
  - {name: text, match: {$: {regex: ^deploy}}, actions: [append: x]}
  - {name: repeated, match: {headers.X-Tag: b, query.q: {every: {prefix: x}, not: x3}}, actions: [append: x]}
  - {name: who, match: {ip: {cidr: 10.0.0.0/8}, method: PUT}, actions: [{name: a, append: x}, {name: b, append: y}]}
  - {name: body, match: {$.b: true}, actions: [forward: {url: "http://h/", body: {json: {n: 1, b: "{{ payload.b }}"}}}]}
unmatched: [append: none.jsonl]
"""


def test_a_case_can_describe_every_kind_of_request(test: Run, run: Run, tmp_path: Path) -> None:
    test("[]")
    (tmp_path / "rules.yaml").write_text(KINDS)
    (tmp_path / "cases.yaml").write_text("""
- name: a form
  content_type: application/x-www-form-urlencoded
  payload: {n: "7", l: [x, y]}
  expect: {rules: [form]}
- {name: text, headers: {content-type: text/plain}, payload: deploy it, expect: {rules: [text]}}
- {name: repeated, headers: {X-Tag: [a, b]}, query: {q: [x1, x2]}, payload: {}, expect: {rules: [repeated]}}
- name: a general part leaves the delivery that a special one needs
  ip: 10.1.2.3
  method: PUT
  payload: {}
  expect: {rules: [who], deliveries: [{rule: who}, {rule: who, action: a}]}
- {name: body as JSON, payload: {b: true}, expect: {deliveries: [{forward: {body: {b: true, n: 1.0}}}]}}
- {name: unmatched, payload: {}, expect: {rules: [], deliveries: [{rule: unmatched}]}}
""")
    done = run("test", "rules.yaml", "--cases", "cases.yaml")

    assert "6 of 6 cases as expected" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "part",
    [
        "{forward: {body: {b: 1}}}",
        "{forward: {body: {n: true}}}",
        "{rule: body}, {rule: body}",
        "{forward: {body: [1]}}",
    ],
)
def test_expected_parts_are_compared_by_type_and_value(test: Run, run: Run, tmp_path: Path, part: str) -> None:
    test("[]")
    (tmp_path / "rules.yaml").write_text(KINDS)
    (tmp_path / "cases.yaml").write_text(f"- {{name: c, payload: {{b: true}}, expect: {{deliveries: [{part}]}}}}")

    assert run("test", "rules.yaml", "--cases", "cases.yaml").returncode == 1


def test_a_case_may_repeat_a_header(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(KINDS)
    (tmp_path / "p.json").write_text("{}")

    done = run(
        "test", "rules.yaml", "--payload", "p.json", "--header", "X-Tag: b", "--header", "x-tag: c", "--query", "q=x",
        "--expect", "repeated",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


FAILING = """
- name: wrong rules
  payload: {x: 1, y: a}
  expect: {rules: [two]}
- name: wrong delivery
  payload: {x: 1, y: a}
  expect: {rules: [one], deliveries: [{type: forward, forward: {url: http://h/p/b}}]}
- name: good
  payload: {x: 0}
  expect: {rules: []}
"""


def test_a_failing_case_shows_the_difference_and_the_reason(test: Run) -> None:
    done = test(FAILING)

    assert done.returncode == 1
    assert "1 of 3 cases as expected" in done.stdout
    assert 'cases.yaml:2: rule "two" did not match: query.q is missing; asked: equals "v"' in done.stdout
    assert 'rule "one" matched, and was not expected to' in done.stdout
    assert '-    "url": "http://h/p/b"' in done.stdout
    assert '+    "url": "http://h/p/a"' in done.stdout


def test_cases_write_a_junit_report(test: Run, tmp_path: Path) -> None:
    done = test(FAILING, "--junit", "report.xml")

    assert done.returncode == 1
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
    assert [case.get("name") for case in suite] == ["wrong rules", "wrong delivery", "good"]
    assert "query.q is missing" in str(suite[0][0].text)


def test_cases_print_json(test: Run) -> None:
    shown = json.loads(test(FAILING, "--json").stdout)

    assert [(case["name"], len(case["differences"])) for case in shown["cases"]] == [
        ("wrong rules", 2),
        ("wrong delivery", 1),
        ("good", 0),
    ]
    assert shown["problems"] == []


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("- {name: x}", 'cases.yaml:1:3: [0]: missing "expect"'),
        ("- {name: x, expects: {}, expect: {}}", 'unknown key "expects"; did you mean "expect"?'),
        ("- {name: x, expect: {rules: [three]}}", 'the rules file has no rule "three"'),
        ("- {name: x, source: b, expect: {}}", "expected one of the sources a"),
        ("- {name: x, payload: {file: none.json}, expect: {rules: []}}", "the payload can't be read: No such file"),
        ("- {name: x, expect: {}}", "cases.yaml:1:21: [0].expect: this expects nothing"),
        (
            "- {name: x, headers: {X-A: [a, 1]}, expect: {rules: []}}",
            "1:32: [0].headers.X-A[1]: expected text or a list",
        ),
        ("- {name: x, name: y, expect: {rules: []}}", 'duplicate key "name"'),
        ("x: y", "expected a list of cases"),
        ("- [", "not YAML"),
        ("", "cases.yaml:1:1: the file is empty; it needs a list of cases, each with name, payload and expect"),
    ],
)
def test_the_error_for_an_invalid_cases_file_names_the_place(test: Run, cases: str, message: str) -> None:
    done = test(cases)

    assert done.returncode == 1
    assert message in done.stderr


def test_a_missing_cases_file_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)

    done = run("test", "rules.yaml", "--cases", "none.yaml")

    assert done.returncode == 1
    assert "the cases can't be read: No such file" in done.stderr


def test_cases_and_payload_cannot_be_combined(test: Run) -> None:
    assert test("[]", "--payload", "x").returncode == 2


TIMED = """\
timezone: Europe/Berlin
sources: {a: {verify: none, path: "/in/{team}"}}
rules:
  - name: night
    match: {params.team: pay, time: [{gte: "22:00"}, {lt: "06:00"}]}
    actions: [append: x]
"""


def test_a_case_can_set_the_time_and_the_path_of_the_request(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(TIMED)
    (tmp_path / "cases.yaml").write_text("""\
- {name: at night, params: {team: pay}, received_at: "2024-05-01T21:30:00Z", payload: {}, expect: {rules: [night]}}
- {name: by day, params: {team: pay}, received_at: "2024-05-01T12:00:00+02:00", payload: {}, expect: {rules: []}}
- {name: of another, params: {team: web}, received_at: "2024-05-01T21:30:00Z", payload: {}, expect: {rules: []}}
""")

    done = run("test", "rules.yaml", "--cases", "cases.yaml")

    assert (done.returncode, done.stderr) == (0, "")


def test_the_error_for_a_wrong_time_or_part_names_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(TIMED)
    (tmp_path / "cases.yaml").write_text("""\
- {name: a, params: {team: pay}, received_at: "2024-05-01T21:30:00", payload: {}, expect: {rules: [night]}}
- {name: b, params: {}, payload: {}, expect: {rules: []}}
""")

    done = run("test", "rules.yaml", "--cases", "cases.yaml")

    assert done.returncode == 1
    assert '1:47: [0].received_at: expected a time with a zone such as "2024-05-01T09:30:00+02:00"' in done.stderr
    assert '2:21: [1].params: the path of source "a" is /in/{team}, so give team a value' in done.stderr
