"""The event of the benchmarks: a push payload of 7 kB with a GitHub signature, and ten rules that look at it."""

import hashlib
import hmac
import json
from pathlib import Path

SECRET = "a shared secret of the benchmark"
RULES = """
sources: {github: {verify: {scheme: github, secret: {env: BENCH_SECRET}}, dedupe: none}}
rules:
"""
RULE = """
  - name: rule-%d
    match: {headers.X-GitHub-Event: push, $.ref: refs/heads/release-%d, $.repository.full_name: acme/service-%d}
    actions: [append: never.jsonl]
"""


def rules() -> str:
    """A rules file; none of its ten rules matches."""
    return RULES + "".join(RULE % (i, i, i) for i in range(10))


def signature(body: bytes) -> str:
    """The value of X-Hub-Signature-256."""
    return f"sha256={hmac.digest(SECRET.encode(), body, 'sha256').hex()}"


def push() -> bytes:
    """A push event of some 7 kB."""
    user = {
        "login": "ann",
        "id": 7,
        "node_id": "MDQ6VXNlcjc=",
        "url": "https://api.example.com/users/ann",
        "type": "User",
    }
    commits = [
        {
            "id": hashlib.sha1(str(i).encode(), usedforsecurity=False).hexdigest(),
            "message": f"Change number {i} of the service, with a line about why it was made",
            "timestamp": "2026-11-24T12:00:00+01:00",
            "author": {"name": "Ann Author", "email": "ann@acme.example", "username": "ann"},
            "added": [], "removed": [], "modified": [f"src/module_{i}/part_{k}.py" for k in range(5)],
        }
        for i in range(14)
    ]  # fmt: skip
    repository = {
        "id": 1, "full_name": "acme/api", "owner": user, "private": True,
        **{f"{name}_url": f"https://api.example.com/repos/acme/api/{name}{{/sha}}" for name in
           ("keys", "hooks", "issues", "pulls", "branches", "tags", "blobs", "trees", "statuses", "languages")},
    }  # fmt: skip
    return json.dumps({"ref": "refs/heads/main", "repository": repository, "sender": user, "commits": commits}).encode()


def script(folder: Path, body: bytes) -> Path:
    """What wrk posts."""
    (folder / "body").write_bytes(body)
    path = folder / "post.lua"
    path.write_text(
        'wrk.method = "POST"\n'
        f'wrk.body = io.open("{folder / "body"}", "rb"):read("*a")\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        'wrk.headers["X-GitHub-Event"] = "push"\n'
        f'wrk.headers["X-Hub-Signature-256"] = "{signature(body)}"\n'
    )
    return path
