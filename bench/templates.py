"""What templates cost: ordinary ones beside an earlier version, and the intake beside hostile ones.

Ordinary templates are rendered by this tree and by `--against` (a commit of the clone) in one run, and their ratio is
shown. Then, for each filter, test and operator of the sandbox, the generated template that takes longest on a small
payload is looked for (tests/templates/hostile_templates.py). For each of these a daemon gets hostile events, whose
rule renders it for the answer and for an append, beside calm events that a sender posts by its timetable. Measured is
the time from the moment in the timetable to the answer to a calm event, without hostile ones and with them."""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import timeit
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import yaml
from deliver import daemon
from machine import describe
from open_loop import send, share

sys.path.insert(0, str(Path(__file__).parents[1]))

from router import templates
from router.domain.errors import RenderError, TemplateError
from router.templates.budget import COPIED_PER_STEP, RenderBudget
from tests.templates.hostile_templates import BODY, Hostile, hostile

ORDINARY = (
    "{{ payload.after }}",
    "{{ payload.repository.full_name }}#{{ payload.number }}: {{ payload.pull_request.title }}",
    "{{ payload.ref | replace('refs/heads/', '') }}",
    "{% for c in payload.commits %}{{ loop.index }}. {{ c.id[:7] }} {{ c.message }} {{ c.author.name }}\n{% endfor %}",
    "{{ payload.commits | map(attribute='id') | join(', ') }}",
    "{% if payload.ref == 'refs/heads/main' and payload.number > 3 %}yes{% else %}no{% endif %}",
    "{{ payload.repository }}",
    "{{ payload.none | default('x') }}",
    "{{ payload.ref ~ '/' ~ payload.number }}",
    "{{ payload.amount / 100 }}",
    "{{ payload.commits | selectattr('id', 'eq', '5555555555') | list | length }}",
    "{{ payload.pull_request.title | upper | truncate(5) }}",
    "{{ payload }}",
)
PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "after": "a" * 40,
    "number": 7,
    "amount": 1250,
    "none": None,
    "repository": {"full_name": "octo/repo", "id": 5},
    "pull_request": {"title": "hello world"},
    "commits": [{"id": str(i) * 10, "message": "m" * 60, "author": {"name": "x"}} for i in range(20)],
}


def earlier(commit: str) -> ModuleType | None:
    """The module as it was in a commit in which it was one file."""
    shown = subprocess.run(
        ["git", "show", f"{commit}:router/templates.py"], capture_output=True, text=True, check=False
    )
    if shown.returncode:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "earlier_templates.py"
        path.write_text(shown.stdout)
        spec = importlib.util.spec_from_file_location("earlier_templates", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["earlier_templates"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def ordinary(old: ModuleType) -> None:
    """A table of both, the least of several repeats, with a new context each time as an attempt has."""
    size = len(orjson.dumps(PUSH))
    ratios = []
    print(f"{'before µs':>10} {'now µs':>10} {'ratio':>6}  template")
    for text in ORDINARY:
        was, now = old.compile_template(text, secrets=[]), templates.compile_template(text, secrets=[])
        values = {"payload": PUSH}

        def render_was(was: Any = was, values: dict[str, Any] = values) -> str:
            return str(was.render(old.Context(values)))

        def render_now(now: Any = now, values: dict[str, Any] = values) -> str:
            return str(now.render(templates.Context(values, RenderBudget(size))))

        assert render_was() == render_now(), text
        before, after = least(render_was, render_now)
        ratios.append(after / before)
        print(f"{before:>10.2f} {after:>10.2f} {ratios[-1]:>6.2f}  {text[:70]!r}")
    print(
        f"{'':>10} {'geometric':>10} {statistics.geometric_mean(ratios):>6.2f}  mean; the highest is {max(ratios):.2f}"
    )


def least(*renders: Callable[[], str]) -> list[float]:
    """Microseconds of each, in turn again and again, so that what else the machine does concerns all alike."""
    found = [[timeit.timeit(render, number=50) / 50 * 1e6 for render in renders] for _ in range(60)]
    return [min(times) for times in zip(*found, strict=True)]


class Timed(RenderBudget):
    """Notes the longest time of the processor between two steps: nothing else runs while one call holds it."""

    __slots__ = ("at", "longest_step")

    def __init__(self, body: int) -> None:
        super().__init__(body)
        self.at, self.longest_step = time.thread_time(), 0.0

    def charge(self, steps: int) -> None:
        self.note()
        super().charge(steps)

    def text(self, length: int, what: str, per_step: int = COPIED_PER_STEP) -> None:
        self.note()
        super().text(length, what, per_step)

    def note(self) -> None:
        now = time.thread_time()
        self.longest_step, self.at = max(self.longest_step, now - self.at), now


@dataclass(frozen=True)
class Cost:
    """What a hostile template costs, in seconds of the processor."""

    whole: float
    longest_step: float
    case: Hostile


def worst(every: int) -> dict[str, Cost]:
    """Of each filter, test and operator the template that takes longest."""
    payload = orjson.loads(BODY)
    found: dict[str, Cost] = {}
    longest = 0.0, ""
    for number, case in enumerate(hostile()):
        if case.about in found and number % every:
            continue
        cost = render_without_blocking(case, payload)
        if cost is None:
            continue
        longest = max(longest, (cost.longest_step, case.text))
        if case.about not in found or cost.whole > found[case.about].whole:
            found[case.about] = cost
    print(f"the longest single step takes {1000 * longest[0]:.1f} ms of the processor: {longest[1][:80]}")
    return found


def render_without_blocking(case: Hostile, payload: Any) -> Cost | None:
    try:
        template = templates.compile_template(case.text, secrets=[])
    except TemplateError:
        return None
    with contextlib.suppress(RenderError):
        template.render(templates.Context({}))  # makes its code
    begun, budget = time.thread_time(), Timed(len(BODY))
    with contextlib.suppress(RenderError):
        template.render(templates.Context({"payload": payload}, budget))
    budget.note()
    return Cost(time.thread_time() - begun, budget.longest_step, case)


def rules(cases: list[Hostile]) -> str:
    """Calm events match no rule; a hostile event says which template is rendered."""
    made = [
        {
            "name": f"n{number}",
            "source": "hostile",
            "allow_unverified": True,
            "match": {"headers.X-Case": str(number)},
            "respond": {"body": case.text},
            "actions": [{"append": {"path": "out.txt", "line": case.text}}],
        }
        for number, case in enumerate(cases)
    ]
    return yaml.safe_dump({"sources": {"s": {"verify": "none"}, "hostile": {"verify": "none"}}, "rules": made})


def calm(port: int, rate: float, seconds: float) -> list[float]:
    body = json.dumps({"fill": "x" * 1000}).encode()
    head = (
        f"POST /hooks/s HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    return sorted(send(port, lambda _: head + body, rate, seconds).answer_ms)


class Posting:
    """Posts the hostile event again and again while the calm ones are measured."""

    def __init__(self, port: int, number: int, pause: float) -> None:
        self._ended = threading.Event()
        self._request = urllib.request.Request(
            f"http://127.0.0.1:{port}/hooks/hostile",
            BODY,
            {"Content-Type": "application/json", "X-Case": str(number)},
        )
        self._pause = pause
        self.posted = 0
        self._thread = threading.Thread(target=self._post)

    def __enter__(self) -> "Posting":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _post(self) -> None:
        while not self._ended.is_set():
            with urllib.request.urlopen(self._request, timeout=30) as answer:
                answer.read()
            self.posted += 1
            self._ended.wait(self._pause)


def beside(found: dict[str, Cost], rate: float, seconds: float, pause: float) -> None:
    names = sorted(found, key=lambda name: -found[name].whole)
    cases = [found[name].case for name in names]
    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")))
        port, _ = running.enter_context(daemon(Path(folder), rules(cases)))
        calm(port, rate, 1.0)
        alone = calm(port, rate, 4 * seconds)
        # The same hostile body with a template that costs nothing: what receiving and storing it takes.
        with Posting(port, len(cases), pause):
            stored = calm(port, rate, 4 * seconds)
        print(f"{'p50':>8} {'p99':>8} {'max':>8} {'CPU ms':>8}  ms to a calm event's answer")
        print(line(alone) + "  alone")
        print(line(stored) + "  beside events of that size that nothing renders", flush=True)
        late, usual = [], []
        for number, name in enumerate(names):
            if number % 10 == 0:
                with Posting(port, len(cases), pause):
                    times = calm(port, rate, seconds)
                usual.append(share(times, 0.99))
                print(line(times) + "  beside events of that size that nothing renders, again", flush=True)
            with Posting(port, number, pause):
                times = calm(port, rate, seconds)
            late.append(share(times, 0.99))
            print(line(times, found[name].whole) + f"  {name}: {cases[number].text[:70]}", flush=True)
    print(
        f"p99 beside hostile renderings: {statistics.median(late):.2f} ms median, {max(late):.2f} ms at worst;"
        f" {share(alone, 0.99):.2f} ms alone, {statistics.median(usual):.2f} ms median and {max(usual):.2f} ms at worst"
        " beside events of that size that nothing renders"
    )


def line(times: list[float], cost: float | None = None) -> str:
    shown = "" if cost is None else f"{1000 * cost:.1f}"
    return f"{share(times, 0.5):>8.2f} {share(times, 0.99):>8.2f} {times[-1]:>8.2f} {shown:>8}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--against", default="108cc5c", help="a commit with router/templates.py; for the ratio")
    arguments.add_argument("--every", type=int, default=10, help="try each so many-th of the generated templates")
    arguments.add_argument("--rate", type=float, default=100, help="calm events a second")
    arguments.add_argument("--seconds", type=float, default=2, help="beside each hostile template")
    arguments.add_argument("--pause", type=float, default=0.2, help="seconds between two hostile events")
    arguments.add_argument("--only", choices=("ratio", "intake"))
    given = arguments.parse_args()
    print(describe("jinja2", "orjson", "waitress"))
    if given.only != "intake":
        old = earlier(given.against)
        if old is None:
            print(f"{given.against} has no router/templates.py here: no ratio")
        else:
            ordinary(old)
    if given.only != "ratio":
        found = worst(given.every)
        print(f"{len(found)} filters, tests, operators and shapes; a hostile payload of {len(BODY):,} bytes")
        beside(found, given.rate, given.seconds, given.pause)


if __name__ == "__main__":
    main()
