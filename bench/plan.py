"""The time and memory of `webhook-router plan`: many stored pushes of 7 kB, 100 rules, and a changed copy of them.

Of the 100 rules each event matches one in two cases of three. In the changed copy one rule is renamed, one goes, one
comes, one forwards elsewhere, and one has a template that fails. The store is made first, which takes longer.
`--events 10000` is a tenth of the work; the memory must not differ.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import orjson
from machine import describe
from push import push

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from router.daemon.registries import REGISTRIES  # noqa: E402
from router.domain.events import Event  # noqa: E402
from router.domain.ids import uuid7  # noqa: E402
from router.rules.compile.loader import Loader  # noqa: E402
from router.rules.parsing import parse_event  # noqa: E402
from router.store.sqlite.store import SqliteStore  # noqa: E402

HEAD = """
sources: {github: {verify: none}}
targets: {ci: {url: "http://127.0.0.1:9"}}
rules:
"""
RULE = """
  - name: rule-%d
    match: {headers.X-GitHub-Event: push, $.repository.full_name: acme/service-%d, $.ref: {prefix: refs/heads/}}
    actions:
      - forward: {target: ci, path: "/build?ref={{ payload.ref }}", body: {json: {sha: "{{ payload.commits[0].id }}"}}}
"""
BATCH = 1000


def rules() -> tuple[str, str]:
    """The rules that run, and the changed ones."""
    parts = [RULE % (i, i) for i in range(100)]
    changed = list(parts)
    changed[1] = changed[1].replace("rule-1\n", "renamed\n")
    changed[3] = changed[3].replace("/build?", "/other?")
    changed[4] = changed[4].replace("payload.commits[0].id", "payload.nothing.here")
    del changed[2]
    return HEAD + "".join(parts), HEAD + "".join(changed)


def fill(folder: Path, count: int) -> None:
    """Make the store with its events, routed by the rules."""
    loader = Loader(REGISTRIES, {}, require_secrets=False)
    ruleset = loader.load_file(folder / "rules.yaml").require()
    payload, now = orjson.loads(push()), time.time_ns() // 1_000_000
    with closing(SqliteStore(folder / "webhook-router.db")) as store:
        store.put_ruleset(ruleset.text, now).result(30)
        store.put_note("rules", orjson.dumps({"hash": ruleset.hash, "file": "rules.yaml"}).decode()).result(30)
        for start in range(0, count, BATCH):
            futures = []
            for number in range(start, min(start + BATCH, count)):
                payload["repository"]["full_name"] = f"acme/service-{number % 150}"
                headers = (("Content-Type", "application/json"), ("X-GitHub-Event", "push"))
                event = Event(
                    uuid7(now), "github", "POST", "/hooks/github", "", headers, orjson.dumps(payload), "127.0.0.1", now
                )
                found = ruleset.plan(parse_event(event, ruleset.sources["github"]))
                futures.append(store.append(event, found.deliveries, ruleset.hash, matched=found.matched))
            for future in futures:
                future.result(60)


def main() -> None:
    """Make the store, run the plan, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--store", type=Path, help="a folder to keep the store in, for further runs")
    given = parser.parse_args()
    folder = given.store or Path(tempfile.mkdtemp(prefix="bench-plan-"))
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(rules()[0])
    (folder / "new.yaml").write_text(rules()[1])
    if not (folder / "webhook-router.db").exists():
        fill(folder, given.events)
    program = [sys.executable, "-m", "router", "plan", "new.yaml", "--since", "2000-01-01"]
    begin, core = time.monotonic(), {next(iter(os.sched_getaffinity(0)))}
    done = subprocess.run(
        program,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(describe())
    print("\n".join(done.stdout.splitlines()[:12]))
    print(f"{time.monotonic() - begin:.1f} s, of which {used.ru_utime + used.ru_stime:.1f} s of one core")
    print(f"{used.ru_maxrss / 1024:.0f} MiB at the most")


if __name__ == "__main__":
    main()
