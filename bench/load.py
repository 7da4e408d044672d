"""Load time and memory of rules files by their size: YAML text to a ruleset with its index, as `serve` does it.

Each size is loaded in a process of its own, so that memory is its alone; the best of the rounds counts.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path

from machine import describe

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

RULE = """  - name: rule-{i}
    match:
      headers.X-GitHub-Event: push
      $.repository.full_name: acme/service-{i}
    actions:
      - append: out.jsonl
"""


def text(count: int) -> str:
    """A rules file."""
    return "sources: {s: {verify: none}}\nrules:\n" + "".join(RULE.format(i=i) for i in range(count))


def load(count: int) -> tuple[float, int, int]:
    """Seconds, MiB that the process grew by, KiB of text."""
    from router.daemon.registries import REGISTRIES  # noqa: PLC0415
    from router.rules.compile.loader import Loader  # noqa: PLC0415

    written, loader = text(count), Loader(REGISTRIES, {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    loaded = loader.load(written, "rules.yaml", ROOT)
    seconds = time.perf_counter() - begun
    assert loaded.ruleset is not None
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, len(written) // 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    print(describe("PyYAML", "jsonpath-ng", "pydantic"))
    print(f"{'rules':>9} {'text':>10} {'seconds':>8} {'µs a rule':>10} {'memory':>9}")
    for count in (10, 1_000, 10_000, 100_000):
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            seconds, grown, size = min(pool.map(load, [count] * rounds, chunksize=1))
        print(f"{count:>9,} {size:>6,} KiB {seconds:>8.2f} {seconds / count * 1e6:>10,.0f} {grown:>5,} MiB", flush=True)


if __name__ == "__main__":
    main()
