"""Events a second for parse + match, by the number of rules, beside orjson alone and a loop over jsonpath-ng's find.

(a) two equality conditions a rule; (b) 70 % equality, the rest any-of, prefix, suffix, regex and numeric; (c) rules
with `any`, and rules that no index can file (`not` around four scalar conditions); (d) adversarial rules and values;
(e) the items of one event, beside as many rules.
Every figure is the best of several rounds over the same events, in one process on one core.
"""

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from jsonpath_ng.ext.parser import parse
from machine import describe

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from router.domain.deliveries import RulesetText  # noqa: E402
from router.domain.events import Event, ParsedEvent  # noqa: E402
from router.domain.retry_policy import RetryPolicy  # noqa: E402
from router.plugins.target import TargetSpec  # noqa: E402
from router.rules.compile.forbidden import ForbiddenAction  # noqa: E402
from router.rules.compile.match import parse_match  # noqa: E402
from router.rules.compile.scope import Scope  # noqa: E402
from router.rules.match.for_each import for_each, item_list  # noqa: E402
from router.rules.rule import Rule, RuleAction  # noqa: E402
from router.rules.ruleset import Ruleset  # noqa: E402
from router.rules.yaml.document import read  # noqa: E402
from router.rules.yaml.node_path import NodePath  # noqa: E402
from router.rules.yaml.problems import ProblemReport  # noqa: E402
from tests.acceptance.github_payloads import bodies  # noqa: E402

Match = dict[str, Any]
HEADERS = (
    ("Host", "127.0.0.1:8080"), ("User-Agent", "GitHub-Hookshot/044aadd"), ("Content-Type", "application/json"),
    ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"), ("X-GitHub-Hook-ID", "292430182"),
    ("X-Hub-Signature-256", "sha256=d57c68ca6f92289e6987922ff26938930f6e66a2d161ef06abdf1859230aa23c"),
)  # fmt: skip


def ruleset(matches: list[Match]) -> Ruleset:
    """Compiled rules of one source, without actions."""
    rules = []
    for number, match in enumerate(matches):
        report = ProblemReport("bench")
        # Through the file's own reader once for each shape would be truer still; JSON is YAML, and quick to make.
        condition = parse_match(NodePath(report, read(json.dumps(match))[0], "match"))
        assert not report.failed, report.problems
        rules.append(Rule(f"rule-{number}", frozenset({"github"}), condition, ()))
    return Ruleset(RulesetText("", "", ""), tuple(rules), {}, {})


def events(count: int) -> list[tuple[str, bytes]]:
    """Event names with bodies of about 10 kB, like those that GitHub sends."""
    found = [(name, body) for name, body in bodies() if 4_000 < len(body) < 20_000]
    if len(found) < 20:  # the generated ones are smaller: fill them up as real ones are, with urls
        urls = {f"{i}_url": f"https://api.example.com/repos/acme/api/{i}{{/sha}}" for i in range(110)}
        found = [(name, orjson.dumps({**orjson.loads(body), "links": urls})) for name, body in bodies()]
    return found[:count]


def event(name: str, body: bytes) -> Event:
    """The event as the intake has it before it parses."""
    return Event("e", "github", "POST", "/hooks/github", "", (*HEADERS, ("X-GitHub-Event", name)), body, "", 0)


def equality(count: int, dice: random.Random) -> list[Match]:  # noqa: ARG001 - the shapes' common signature
    """(a)"""
    names = ["push", "pull_request", "issues", "release"]
    return [
        {"headers.X-GitHub-Event": names[i % 4], "$.repository.full_name": f"acme/service-{i}"} for i in range(count)
    ]


def mixed(count: int, dice: random.Random) -> list[Match]:
    """(b)"""
    others: list[Callable[[int], Match]] = [
        lambda i: {"$.action": [f"opened-{i}", f"closed-{i}"]},
        lambda i: {"$.ref": {"prefix": f"refs/heads/team-{i}/"}},
        lambda i: {"$.sender.login": {"suffix": f"-bot-{i}"}},
        lambda i: {"$.ref": {"regex": f"^refs/tags/v{i}\\.[0-9]+$"}},
        lambda i: {"$.repository.size": {"gte": i * 1000, "lt": i * 1000 + 10}},
    ]
    rules = []
    for i in range(count):
        if dice.random() < 0.7:
            rules.append({"headers.X-GitHub-Event": "push", "$.repository.full_name": f"acme/service-{i}"})
        else:
            rules.append({"headers.X-GitHub-Event": "push", **others[i % len(others)](i)})
    return rules


def any_rules(count: int, dice: random.Random) -> list[Match]:  # noqa: ARG001
    """(c), the part that is filed."""
    return [
        {"any": [{"$.repository.full_name": f"acme/a-{i}"}, {"$.sender.login": f"user-{i}"}, {"$.ref": f"r/{i}"}]}
        for i in range(count)
    ]


def unfiled(count: int, dice: random.Random) -> list[Match]:  # noqa: ARG001
    """(c), the part that is judged for every event: none matches, and each has to look at all four conditions."""
    return [
        {
            "not": {
                "none": [
                    {"headers.X-GitHub-Event": f"no-{i}"},
                    {"$.repository.full_name": f"acme/service-{i}"},
                    {"$.sender.login": f"user-{i}"},
                    {"$.ref": f"refs/{i}"},
                ]
            }
        }
        for i in range(count)
    ]


def best(work: Callable[[], Any], rounds: int) -> float:
    """Seconds of the fastest round."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def measure(rules: Ruleset, sent: list[Event], rounds: int) -> tuple[float, float, float]:
    """Seconds an event: orjson alone, parse + match, match alone."""

    def load() -> None:
        for one in sent:
            orjson.loads(one.body)

    def parse_and_match() -> None:
        for one in sent:
            rules.match(ParsedEvent(one, orjson.loads(one.body)))

    parsed = [(one, orjson.loads(one.body)) for one in sent]

    def match() -> None:
        for one, payload in parsed:
            rules.match(ParsedEvent(one, payload))

    alone = both = matched = float("inf")
    for _ in range(rounds):  # in turns, so that what disturbs the machine disturbs all three
        alone, both, matched = (
            min(alone, best(load, 1)),
            min(both, best(parse_and_match, 1)),
            min(matched, best(match, 1)),
        )
    return alone / len(sent), both / len(sent), matched / len(sent)


def find_loop(matches: list[Match], sent: list[Event]) -> float:
    """Seconds an event when every rule's paths are followed by jsonpath-ng's own find."""
    compiled = []
    for match in matches:
        fields = [(key, wanted) for key, wanted in match.items() if isinstance(wanted, str)]
        compiled.append([(parse(key) if key.startswith("$") else key, wanted) for key, wanted in fields])
    begun = time.perf_counter()
    for one in sent:
        payload, headers = orjson.loads(one.body), dict(one.headers)
        for fields in compiled:
            for path, wanted in fields:
                if isinstance(path, str):
                    if headers.get(path.partition(".")[2]) != wanted:
                        break
                elif not any(found.value == wanted for found in path.find(payload)):
                    break
    return (time.perf_counter() - begun) / len(sent)


def table(sizes: list[int], sent: list[Event], rounds: int) -> None:
    """(a) and (b), with ratios to the smallest size and to orjson alone."""
    for title, shape in (("(a) two equalities", equality), ("(b) mixed", mixed), ("(c) any of three", any_rules)):
        print(f"\n{title}\n{'rules':>9} {'parse+match':>12} {'match alone':>12} {'/ orjson':>9} {'/ smallest':>11}")
        first = 0.0
        for size in sizes:
            rules = ruleset(shape(size, random.Random(7)))
            gc.collect()
            gc.freeze()
            alone, both, matched = measure(rules, sent, rounds)
            share = both / alone
            first = first or share  # in units of orjson: the machine's own speed wanders within a run
            print(
                f"{size:>9,} {1 / both:>10,.0f}/s {1 / matched:>10,.0f}/s {share:>9.2f} {share / first:>11.2f}",
                flush=True,
            )
            gc.unfreeze()


def unfiled_table(sizes: list[int], sent: list[Event], rounds: int) -> None:
    gc.collect()
    print(f"\n(c) not and none around four scalar conditions, which no index can file\n{'rules':>9} {'µs a rule':>10}")
    for size in (size for size in sizes if 10 < size <= 10_000):
        rules = ruleset(unfiled(size, random.Random(7)))
        parsed = [ParsedEvent(one, orjson.loads(one.body)) for one in sent[:20]]
        gc.freeze()
        seconds = best(lambda rules=rules, parsed=parsed: [rules.match(one) for one in parsed], rounds) / len(parsed)
        print(f"{size:>9,} {seconds / size * 1e6:>10.2f}", flush=True)


def baseline(sizes: list[int], sent: list[Event], rounds: int) -> None:
    print(f"\nagainst a loop over jsonpath-ng's find, rules of (a)\n{'rules':>9} {'find loop':>12} {'ratio':>10}")
    for size in sizes:
        matches = equality(size, random.Random(7))
        some = sent[: max(1, 20_000 // size)]
        loop = find_loop(matches, some)
        ours = measure(ruleset(matches), sent, rounds)[1]
        print(f"{size:>9,} {1 / loop:>10,.1f}/s {loop / ours:>9,.0f}x", flush=True)


def adversarial(rounds: int) -> None:
    """(d): the slowest event of each kind."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    dice = random.Random(7)
    word = lambda size: "".join(dice.choices(letters, k=size))  # noqa: E731
    cases: dict[str, tuple[list[Match], Any]] = {
        "2,000 counted regexes, value of 64 KiB": (
            [{"$.a": {"regex": f"{word(4)}[a-z]{{1,{i % 50 + 5}}}{word(3)}"}} for i in range(2000)],
            {"a": word(65536)},
        ),
        "1,000 counted regexes without a literal, value of 200 characters": (
            [{"$.a": {"regex": f"([a-f]{{{i % 7 + 1},{i % 50 + 10}}}[0-9])+$"}} for i in range(1000)],
            {"a": word(200)},
        ),
        "(a+)+$ and the like, 1,000 rules, 10 kB of a": (
            [{"$.a": {"regex": f"(a+)+{i}$"}} for i in range(1000)],
            {"a": "a" * 10_000},
        ),
        "10,000 rules of one common first value": (
            [{"$.a": "x", "$.b": {"gt": i}} for i in range(10_000)],
            {"a": "x", "b": -1},
        ),
        "10,000 rules of one common prefix": (
            [{"$.a": {"prefix": "refs/heads/" + "x" * (i % 100)}, "$.b": i} for i in range(10_000)],
            {"a": "refs/heads/" + "x" * 100, "b": -1},
        ),
        "any of 5,000 branches, 20 rules": (
            [{"any": [{"$.a": f"v{i}-{j}"} for j in range(5000)]} for i in range(20)],
            {"a": "v3-77"},
        ),
        "text of 5 MB, contains in 2,000 rules": (
            [{"$": {"contains": word(8)}} for _ in range(2000)],
            word(1000) * 5000,
        ),
        "list of 100,000 items, $.a[*] in 1,000 rules": (
            [{"$.a[*]": f"v{i}"} for i in range(1000)],
            {"a": ["w"] * 100_000},
        ),
        "10,000 ranges that overlap": (
            [{"$.a": {"gte": -i, "lte": i}, "$.b": i} for i in range(10_000)],
            {"a": 5, "b": -1},
        ),
        "10,000 paths, none of them in the event": ([{f"$.k{i}.x": "y"} for i in range(10_000)], {"a": 1}),
    }
    print(f"\n(d) adversarial: the slowest event\n{'ms':>9}  rules and event")
    for title, (matches, payload) in cases.items():
        rules = ruleset(matches)
        parsed = Event("e", "github", "POST", "/", "", HEADERS, b"", "", 0)
        rules.match(ParsedEvent(parsed, payload))  # the first one builds automata; they stay
        slowest = max(
            best(lambda: rules.match(ParsedEvent(parsed, payload)), 1)  # noqa: B023 - called at once
            for _ in range(rounds)
        )
        print(f"{slowest * 1000:>9.2f}  {title}", flush=True)


def items(rounds: int) -> None:
    """(e): one event with 1,000 items and a rule with `for_each`, beside one event that matches 1,000 rules."""
    action = RuleAction("r", "a", ForbiddenAction("append", TargetSpec("t", 1), ""), RetryPolicy())
    each = parse_match(_node({"$.status": "firing", "item.labels.severity": "page"}), Scope(has_item=True))
    plain = [parse_match(_node({"$.status": "firing", f"$.n{i}": i})) for i in range(1000)]
    found = for_each(item_list("$.alerts[*]"), 1000, each)
    one_rule = Rule("r", frozenset({"github"}), each, (replace(action, for_each=True),), for_each=found)
    cases = {
        "one rule, 1,000 items": ([one_rule], {"alerts": [{"labels": {"severity": "page"}}] * 1000}),
        "1,000 rules": (
            [Rule(f"r{i}", frozenset({"github"}), one, (action,)) for i, one in enumerate(plain)],
            {f"n{i}": i for i in range(1000)},
        ),
    }
    print(f"\n(e) 1,000 deliveries of one event: match and plan\n{'ms':>9}  rules and event")
    head = Event("e", "github", "POST", "/", "", HEADERS, b"", "", 1_700_000_000_000)
    for title, (rules, payload) in cases.items():
        compiled = Ruleset(RulesetText("", "", ""), tuple(rules), {}, {})
        parsed = ParsedEvent(head, {"status": "firing", **payload})
        assert len(compiled.plan(parsed).deliveries) == 1000
        fastest = best(lambda: compiled.plan(parsed), rounds)  # noqa: B023 - called at once
        print(f"{fastest * 1000:>9.2f}  {title}", flush=True)


def _node(match: Match) -> NodePath:
    return NodePath(ProblemReport("bench"), read(json.dumps(match))[0], "")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="up to 10,000 rules, few rounds")
    quick = arguments.parse_args().quick
    sizes = [10, 1_000, 10_000] if quick else [10, 1_000, 10_000, 100_000]
    rounds = 5 if quick else 15
    sent = [event(name, body) for name, body in events(300)]
    mean = sum(len(one.body) for one in sent) / len(sent)
    print(describe("orjson", "jsonpath-ng", "google-re2"))
    print(f"{len(sent)} events, mean body {mean / 1000:.1f} kB")
    table(sizes, sent, rounds)
    unfiled_table(sizes, sent, rounds)
    baseline(sizes, sent, rounds)
    adversarial(rounds)
    items(rounds)


if __name__ == "__main__":
    main()
