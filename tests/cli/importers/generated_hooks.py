"""Makes hooks of adnanh/webhook, and requests to them, from a seed. The same seed makes the same hooks."""

import base64
import hashlib
import hmac
import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

SECRET = "a secret of twenty"
TOKEN = "0123456789abcdef"
_NAMES = (
    "ref",
    "a.b",
    "list.0.id",
    "list.1.id",
    "n",
    "flag",
    "missing",
    "a.missing",
    "text",
    "empty",
    "list",
    "a",
    "big",
)
_VALUES = ("main", "x", "1", "2", "true", "false", "", "[1,2]", '{"b":"x"}', "1.5", "-7", "<nil>", "héllo")
_REGEXES = ("^ma", "x$", ".*", "", "a|e", "^(true|main)$", "(?i)MAIN", "^$", "l+", r"\bx\b")
_HEADERS = ("X-Event", "x-other-header", "X-Missing")
_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
_SIGNED = {"sha1": "X-Hub-Signature", "sha256": "X-Hub-Signature-256", "sha512": "X-Sig"}


@dataclass(frozen=True)
class Request:
    """A request to one hook."""

    hook: str
    method: str = "POST"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


def parameter(random: random.Random, *, for_match: bool) -> dict[str, Any]:
    """A random parameter that both programs read."""
    kind = random.choice(
        ["payload"] * 5
        + ["header", "query", "url", "method"]
        + ([] if for_match else ["entire", "string", "raw", "entire-query"])
    )
    if kind == "payload":
        return {"source": "payload", "name": random.choice(_NAMES)}
    if kind == "header":
        return {"source": "header", "name": random.choice(_HEADERS)}
    if kind in ("query", "url"):
        return {"source": kind, "name": random.choice(("q", "r.s", "none"))}
    if kind == "method":
        return {"source": "request", "name": "method"}
    if kind == "string":
        return {"source": "string", "name": random.choice(("plain", "a {{ b }} c", 'it\'s \\ "x"', "$HOME `id`"))}
    return {"source": {"entire": "entire-payload", "raw": "raw-request-body"}.get(kind, kind)}


def rule(random: random.Random, depth: int) -> dict[str, Any]:
    """A random trigger rule without a signature."""
    kind = random.choice(["match"] * (1 + 2 * depth) + ["and", "or", "not", "not"])
    if kind in ("and", "or"):
        return {kind: [rule(random, depth + 1) for _ in range(random.randint(0 if depth else 1, 3))]}
    if kind == "not":
        return {"not": rule(random, depth + 1)}
    if random.random() < 0.1:
        networks = random.choice(("127.0.0.1", "10.0.0.0/8", "10.1.1.1 127.0.0.9/8", "192.0.2.1/32 ::1/128"))
        return {"match": {"type": "ip-whitelist", "ip-range": networks}}
    given = parameter(random, for_match=True)
    if random.random() < 0.3:
        if given.get("name") in ("a", "list"):  # a regex never fits a mapping or list, as docs/from-adnanh.md says
            given["name"] = "ref"
        return {"match": {"type": "regex", "regex": random.choice(_REGEXES), "parameter": given}}
    value = "POST" if given["source"] == "request" else random.choice(_VALUES)
    return {"match": {"type": "value", "value": value, "parameter": given}}


def admission(random: random.Random) -> dict[str, Any] | None:
    """A trigger rule that verifies the sender, or None, as for many hooks."""
    kind = random.choice(("none", "none", "hmac", "hash", "scalr", "token", "query-token", "bearer", "basic"))
    if kind in ("hmac", "hash"):
        algorithm = random.choice(tuple(_SIGNED))
        given = {"source": "header", "name": _SIGNED[algorithm]}
        return {"match": {"type": f"payload-{kind}-{algorithm}", "secret": SECRET, "parameter": given}}
    if kind in ("token", "query-token"):
        given = {"source": "header", "name": "X-Token"} if kind == "token" else {"source": "url", "name": "token"}
        return {"match": {"type": "value", "value": TOKEN, "parameter": given}}
    if kind in ("bearer", "basic"):
        value = f"Bearer {TOKEN}" if kind == "bearer" else f"Basic {base64.b64encode(f'ann:{TOKEN}'.encode()).decode()}"
        return {"match": {"type": "value", "value": value, "parameter": {"source": "header", "name": "Authorization"}}}
    return None


def hook(random: random.Random, number: int, program: str) -> dict[str, Any]:
    """A hook whose program prints its arguments, variables and file."""
    made: dict[str, Any] = {
        "id": f"hook{number}",
        "execute-command": program,
        "include-command-output-in-response": True,
    }
    verifying, condition = admission(random), rule(random, 0)
    shape = random.random()
    if shape < 0.8:
        made["trigger-rule"] = {"and": [verifying, condition]} if verifying else condition
    elif verifying:
        made["trigger-rule"] = verifying
    made["pass-arguments-to-command"] = [parameter(random, for_match=False) for _ in range(random.randint(0, 4))]
    made["pass-environment-to-command"] = [
        {**parameter(random, for_match=False), "envname": name} for name in ("HOOK_A", "HOOK_B")[: random.randint(0, 2)]
    ]
    if random.random() < 0.3:
        given = random.choice(({"source": "raw-request-body"}, {"source": "payload", "name": "text"}))
        made["pass-file-to-command"] = [{**given, "envname": "HOOK_FILE"}]
    if random.random() < 0.2:
        made["pass-file-to-command"] = [
            {"source": "payload", "name": "encoded", "envname": "HOOK_FILE", "base64decode": True}
        ]
    if TOKEN in json.dumps(made):  # a token is not shown to the program, as docs/from-adnanh.md says
        made["pass-arguments-to-command"] = [
            one for one in made["pass-arguments-to-command"] if one["source"] != "entire-query"
        ]
        made["pass-environment-to-command"] = [
            one for one in made["pass-environment-to-command"] if one["source"] != "entire-query"
        ]
    if random.random() < 0.3:
        made["http-methods"] = random.choice((["POST"], ["post ", "GET"], ["PUT"]))
    if random.random() < 0.3:
        made["incoming-payload-content-type"] = random.choice(("application/json", "application/x-www-form-urlencoded"))
    return made


def payload(random: random.Random) -> Any:
    """A JSON payload with keys in order, as Go writes them."""
    made: dict[str, Any] = {
        "a": {"b": random.choice(("x", "main", 1))},
        "big": random.choice((12345678901234, "x y")),
        "empty": "",
        "encoded": base64.b64encode(random.randbytes(9)).decode(),
        "flag": random.choice((True, False, "true")),
        "list": random.choice(([{"id": "x"}], [{"id": 1}, {"id": "main"}], [1, 2])),
        "n": random.choice((1, 2, -7, 1.5, "1", "2")),
        "ref": random.choice(("main", "x", "héllo", "say x now")),
        "text": random.choice(("two\nlines\n", "plain", 'it\'s "x"')),
    }
    return {key: value for key, value in made.items() if random.random() < 0.85}


def request(random: random.Random, to: dict[str, Any]) -> Request:
    """A request that passes the hook's verification in most cases."""
    method = random.choice(("POST",) * 5 + ("GET", "PUT"))
    value = payload(random)
    headers: list[tuple[str, str]] = []
    is_form = random.random() < 0.25 or "urlencoded" in to.get("incoming-payload-content-type", "")
    if is_form:
        body = urlencode({key: item for key, item in value.items() if isinstance(item, str)})
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    else:
        body = json.dumps(value, ensure_ascii=random.random() < 0.5)
        headers.append(("Content-Type", "application/json"))
    if random.random() < 0.6:
        headers.append(("X-Event", random.choice(("main", "x", "1"))))
    if random.random() < 0.4:
        headers.append(("X-Other-Header", random.choice(("main", "true"))))
    query = {"q": random.choice(("x", "main", "1", "two words"))} if random.random() < 0.6 else {}
    query |= {"r.s": random.choice(("x", "2"))} if random.random() < 0.4 else {}
    if random.random() < 0.85:
        query |= {"token": TOKEN}
        headers += [("X-Token", TOKEN)]
        key = f"ann:{TOKEN}".encode()
        headers += [
            (
                "Authorization",
                f"Bearer {TOKEN}" if "Bearer" in json.dumps(to) else f"Basic {base64.b64encode(key).decode()}",
            )
        ]
    for algorithm, header in _SIGNED.items():
        headers += signature(random, algorithm, header, body)
    return Request(to["id"], method, urlencode(query), tuple(headers), body)


def signature(random: random.Random, algorithm: str, header: str, body: str) -> list[tuple[str, str]]:
    """The header of a signature, which is right in most cases."""
    kind = random.random()
    signed = hmac.new(SECRET.encode(), body.encode(), getattr(hashlib, algorithm)).hexdigest()
    prefix = "" if header == "X-Sig" else f"{algorithm}="
    if kind < 0.7:
        return [(header, prefix + signed)]
    if kind < 0.8 and prefix:
        return [(header, f"{prefix}{'0' * len(signed)},{prefix}{signed}")]
    return [(header, prefix + "0" * len(signed))] if kind < 0.9 else []


def _shown(name: str) -> list[dict[str, Any]]:
    return [{"source": "payload", "name": name}]


def _is(value: str, name: str) -> dict[str, Any]:
    return {"match": {"type": "value", "value": value, "parameter": {"source": "payload", "name": name}}}


def written(program: str) -> tuple[list[dict[str, Any]], list[Request]]:
    """Hand-written hooks for payloads that are lists, JSON in a form, XML or multipart, and for Scalr without a time."""
    common = {"execute-command": program, "include-command-output-in-response": True}
    hooks: list[dict[str, Any]] = [
        {"id": "list", "trigger-rule": _is("main", "root.0.ref"), "pass-arguments-to-command": _shown("root.1.n")},
        {
            "id": "form",
            "parse-parameters-as-json": _shown("payload"),
            "trigger-rule": _is("main", "payload.ref"),
            "pass-arguments-to-command": _shown("payload.list.0"),
        },
        {
            "id": "xml",
            "incoming-payload-content-type": "text/xml",
            "trigger-rule": {"and": [_is("1", "app.user.0.-id"), _is("Hi", "app.message.#text")]},
            "pass-arguments-to-command": _shown("app.message.-to"),
        },
        {"id": "multipart", "trigger-rule": _is("main", "ref"), "pass-arguments-to-command": _shown("text")},
        {
            "id": "text",
            "trigger-rule": {
                "match": {"type": "regex", "regex": "^deploy", "parameter": {"source": "raw-request-body"}}
            },
        },
        {"id": "team/deep", "pass-arguments-to-command": _shown("ref")},
    ]
    json_type, xml = (
        (("Content-Type", "application/json"),),
        '<app><user id="{}"/><user id="2"/><message to="7">Hi</message></app>',
    )
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    multipart = part.format("ref", "{}") + part.format("text", "two words") + "--b--\r\n"
    bodies = [
        ("list", json_type, '[{"ref": "main"}, {"n": 5}]'),
        ("list", json_type, '[{"ref": "other"}, {"n": 5}]'),
        ("list", json_type, '{"ref": "main"}'),
        ("form", _FORM, urlencode({"payload": '{"ref": "main", "list": ["x"]}'})),
        ("form", _FORM, urlencode({"payload": '{"ref": "other"}', "ref": "main"})),
        ("xml", (), xml.format(1)),
        ("xml", (), xml.format(3)),
        ("multipart", (("Content-Type", "multipart/form-data; boundary=b"),), multipart.format("main")),
        ("multipart", (("Content-Type", "multipart/form-data; boundary=b"),), multipart.format("other")),
        ("text", (("Content-Type", "text/plain"),), "deploy it"),
        ("text", (("Content-Type", "text/plain"),), "don't"),
        ("team/deep", json_type, '{"ref": "x"}'),
    ]
    return [{**common, **one} for one in hooks], [
        Request(to, "POST", "", headers, body) for to, headers, body in bodies
    ]


def corpus(seed: int, hooks: int, requests: int, program: str) -> tuple[list[dict[str, Any]], list[Request]]:
    """The hooks of `written`, and random hooks with `requests` requests to each."""
    source = random.Random(seed)
    made = [hook(source, number, program) for number in range(hooks)]
    known, asked = written(program)
    return [*known, *made], [*asked, *(request(source, to) for to in made for _ in range(requests))]
