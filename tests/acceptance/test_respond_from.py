"""`respond: {from: ACTION}`: the answers that senders of a real daemon get."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Daemon, Receiver, request

RULES = """
secrets: {{key: {{env: KEY}}}}
sources: {{open: {{verify: none, dedupe: $.id}}}}
rules:
  - name: script
    match: {{$.kind: script}}
    allow_unverified: true
    actions: [{{command: {{shell: 'echo broken >&2; cat; echo " $K"', env: {{K: "{{{{ secrets.key }}}}"}}}}}}]
    respond: {{from: command, within: 8s, content_type: application/json}}
  - name: late
    match: {{$.kind: late}}
    allow_unverified: true
    actions: [{{command: {{shell: "sleep 30"}}}}]
    respond: {{from: command, within: 300ms, otherwise: {{json: {{text: "later, {{{{ payload.id }}}}"}}}}}}
  - name: fails
    match: {{$.kind: fails}}
    allow_unverified: true
    actions: [{{command: {{shell: "echo x; exit 3"}}}}]
    respond: {{from: command, within: 8s}}
  - name: huge
    match: {{$.kind: huge}}
    allow_unverified: true
    actions: [{{command: {{shell: "head -c 65537 /dev/zero"}}}}]
    respond: {{from: command, within: 8s, otherwise: {{body: too much}}}}
  - name: full
    match: {{$.kind: full}}
    allow_unverified: true
    actions: [{{command: {{shell: "head -c 65536 /dev/zero"}}}}]
    respond: {{from: command, within: 8s}}
  - name: target
    match: {{$.kind: target}}
    allow_unverified: true
    actions: [{{forward: "{url}/a"}}]
    respond: {{from: forward, within: 8s}}
  - name: alone
    match: {{$.kind: alone}}
    respond: {{body: hello}}
"""


@pytest.mark.parametrize(
    "flags", [(), ("--processes", "2"), ("--server", "waitress")], ids=["own", "processes", "waitress"]
)
def test_the_sender_gets_the_first_attempts_answer_or_the_fallback(
    start: Callable[..., Daemon], receiver: Receiver, flags: tuple[str, ...]
) -> None:
    daemon = start(RULES.format(url=receiver.url), flags=flags, env={"KEY": "very-secret-value"})

    def send(kind: str, number: int = 1) -> tuple[int, bytes]:
        body = f'{{"kind":"{kind}","id":"{kind}{number}"}}'.encode()
        answer = request(daemon.port, "POST", "/hooks/open", body)
        return answer.status, answer.body

    assert send("script") == (200, b'{"kind":"script","id":"script1"} <secret:key>\n')
    assert send("late") == (200, b'{"text":"later, late1"}')
    status, body = send("fails")
    assert (status, body[:6]) == (202, b'{"id":')
    assert send("huge") == (200, b"too much")
    status, body = send("full")
    assert (status, len(body)) == (200, 65536)
    assert send("target")[0] == 200
    assert send("alone") == (200, b"hello")
    status, body = send("script")  # a duplicate
    assert status == 200 and b'"duplicate":true' in body
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: send("script", number), range(2, 18)))
    assert {status for status, _ in answers} <= {200, 202}  # 202 if no slot was free at that moment
