"""Generated payloads in the form and size of GitHub's, and real ones if available."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[3] / "shared" / "payloads" / "github"

_ACTIONS = {
    "pull_request": ["opened", "closed", "synchronize", "labeled"],
    "issues": ["opened", "closed", "edited"],
    "issue_comment": ["created", "deleted"],
    "star": ["created", "deleted"],
    "release": ["published", "created"],
    "workflow_run": ["requested", "completed"],
    "check_run": ["created", "completed"],
    "label": ["created"],
    "member": ["added"],
    "repository": ["publicized"],
    "deployment_status": ["created"],
    "organization": ["member_added"],  # an event without a repository
}


def bodies(count: int = 110) -> Iterator[tuple[str, bytes]]:
    """Pairs of event name and body: generated ones, then all available real ones."""
    dice = random.Random(7)
    names = ["push", "ping", "create", "delete", *_ACTIONS]
    for number in range(count):
        name = names[number % len(names)]
        yield name, json.dumps(_payload(name, number, dice), ensure_ascii=bool(number % 2)).encode()
    for path in sorted(REAL.glob("*.json")):
        yield path.name.partition(".")[0], path.read_bytes()


def _payload(name: str, number: int, dice: random.Random) -> dict[str, Any]:
    payload: dict[str, Any] = {"sender": _user(number, dice)}
    if name != "organization":
        payload["repository"] = _repository(number, dice)
    if name in _ACTIONS:
        payload["action"] = dice.choice(_ACTIONS[name])
    if name in ("push", "create", "delete"):
        payload["ref"] = dice.choice(["refs/heads/main", "refs/heads/fix/ünïcode", "refs/tags/v1.2"])
        payload["deleted"] = name == "delete"
    if name == "push":
        payload["after"] = f"{number:040x}"
        payload["commits"] = [_commit(i, dice) for i in range(dice.randint(0, 8))]
    if name in ("pull_request", "issues", "issue_comment"):
        payload["number"] = number
        thing = "pull_request" if name == "pull_request" else "issue"
        labels = [{"id": i, "name": label} for i, label in enumerate(dice.sample(["bug", "wip", "docs", "P1"], 2))]
        payload[thing] = {
            "title": 'Quotes " and $(touch x) and `ticks`\n{{ 7 * 7 }}',
            "draft": dice.random() < 0.3,
            "labels": labels,
            "user": _user(number, dice),
            "body": "lorem ipsum " * dice.randint(0, 300),
        }
    if name in ("workflow_run", "check_run"):
        payload[name] = {"conclusion": dice.choice([None, "success", "failure"]), "run_attempt": dice.randint(1, 3)}
    return payload


def _repository(number: int, dice: random.Random) -> dict[str, Any]:
    name = dice.choice(["api", "web", "docs"])
    urls = {
        f"{kind}_url": f"https://api.example.com/repos/acme/{name}/{kind}" for kind in ("keys", "tags", "git", "pulls")
    }
    return {
        "id": 1000 + number % 3,
        "name": name,
        "full_name": f"acme/{name}",
        "private": dice.random() < 0.5,
        "open_issues_count": dice.randint(0, 200),
        "owner": _user(1, dice),
        "topics": ["webhook", "router"],
        **urls,
    }


def _user(number: int, dice: random.Random) -> dict[str, Any]:
    return {"id": number, "login": dice.choice(["ann", "bob", "deploy[bot]"]), "site_admin": False, "name": None}


def _commit(number: int, dice: random.Random) -> dict[str, Any]:
    who = dice.choice(["ann@example.com", "bob@EXAMPLE.com", "eve@elsewhere.org"])
    return {
        "id": f"{number:040x}",
        "message": "change things\n\n" + "because " * dice.randint(0, 50),
        "author": {"name": "A", "email": who},
        "added": [f"src/{i}.py" for i in range(dice.randint(0, 5))],
        "modified": ["README.md"],
    }
