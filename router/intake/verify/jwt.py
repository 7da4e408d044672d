"""Scheme jwt: a JSON Web Token (RFC 7519) in a header, as OpenID Connect providers issue them.

The keys are public (a JWKS, RFC 7517, from a file or an address), or the key is a shared secret. A token says who
sends, but not what. With `body_hash`, one of its claims must be the hash of the body.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jwt as pyjwt
import orjson
from jwt.algorithms import HMACAlgorithm
from pydantic import Field

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.credentials import NO_SECRET
from router.intake.verify.fetched import Fetched
from router.intake.verify.headers import check_header, one_header
from router.intake.verify.jwks import JwksOptions, Keys, jwks_keys
from router.intake.verify.signature import Encoding, encoded, key_bytes, resolve
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import (
    KeysAwaited,
    KeysUnavailable,
    SenderProfile,
    SenderProof,
    SignedParts,
    Unsignable,
    Unverified,
    Verdict,
    Verified,
    Verifier,
    VerifyFailure,
)

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile(headers=("{header}",))
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"]
TOLERANCE_SECONDS = 60.0  #: how far clocks may differ; tokens live for minutes, so less is needed than for signed times
MAX_TOKEN = 8 * 1024  #: characters; real ones have some 1,000
_PUBLIC: tuple[Algorithm, ...] = ("RS256", "ES256")


class _Hmac(HMACAlgorithm):
    """HMAC with keys of any length: the provider chooses it, and `check` warns about short secrets."""

    def check_key_length(self, key: bytes) -> str | None:  # noqa: ARG002 - the common signature
        return None


def _signatures() -> pyjwt.PyJWS:
    jws = pyjwt.PyJWS()
    for name, hashed in (("HS256", _Hmac.SHA256), ("HS384", _Hmac.SHA384), ("HS512", _Hmac.SHA512)):
        jws.unregister_algorithm(name)
        jws.register_algorithm(name, _Hmac(hashed))
    return jws


_JWS = _signatures()


class BodyHashOptions(Base):
    """The claim that holds the hash of the body."""

    claim: str = Field(min_length=1, description="The claim's name.")
    algorithm: Literal["sha256", "sha512"] = Field(default="sha256", description="The hash.")
    encoding: Encoding = Field(default="hex", description="How the claim writes it: hex or base64.")


class Options(Base):
    """The issuer of the token, its audience, and the keys."""

    header: str = Field(default="Authorization", description="The header that carries the token.")
    prefix: str | None = Field(
        default=None, description="The text before it; by default 'Bearer ' in Authorization, otherwise nothing."
    )
    issuer: str | None = Field(default=None, description="The required iss.")
    audience: str | None = Field(default=None, description="The required aud; a list must contain it.")
    jwks: JwksOptions | None = Field(default=None, description="Where the public keys are: file or url.")
    secret: Secrets | None = Field(default=None, description="Instead of jwks: a shared key, or a list of them.")
    algorithms: list[Algorithm] | None = Field(
        default=None, min_length=1, description="Algorithms that are accepted; RS256 and ES256, or HS256 with a secret."
    )
    claims: dict[str, str | bool | int] = Field(
        default_factory=dict, description="Claims and their required values, such as email."
    )
    body_hash: BodyHashOptions | None = Field(default=None, description="The claim that holds the body's hash.")
    max_age: Duration | None = Field(default=None, description="How old iat may be; by default exp alone counts.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far clocks may differ.")


@dataclass(frozen=True, slots=True)
class Jwt:
    """Verifies a token."""

    options: Options
    prefix: str
    algorithms: tuple[str, ...]
    secrets: tuple[bytes, ...] = ()
    keys: Keys | Fetched[Keys] | None = None
    verifies: bool = True

    @property
    def signed_parts(self) -> SignedParts | None:
        """See Verifier.signed_parts. Without a hash of the body the token is only a credential."""
        return SignedParts() if self.options.body_hash is not None else None

    def verify(self, inbound: Inbound, now: int) -> Verdict:
        """See Verifier.verify."""
        given = one_header(inbound, self.options.header)
        if isinstance(given, Unverified):
            return given
        if given[: len(self.prefix)].lower() != self.prefix.lower():
            return Unverified(VerifyFailure.MALFORMED, f"header {self.options.header} does not begin with the prefix")
        token = given[len(self.prefix) :]
        keys = self._keys_for(token)
        if isinstance(keys, Unverified | KeysAwaited | KeysUnavailable):
            return keys
        claims = self._claims(token, keys, now)
        if isinstance(claims, Unverified):
            return claims
        refused = self._wrong_claim(claims, inbound.body)
        return refused or Verified(without_credentials(inbound, header=self.options.header))

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """See Verifier.sign. Only a shared secret can sign."""
        if self.options.secret is None:
            return Unsignable(
                "only the sender has the key that signs; the key here is its public half, which can only verify"
            )
        if not self.secrets:
            return NO_SECRET
        options, seconds = self.options, now // 1000
        claims: dict[str, Any] = {"iat": seconds, "exp": seconds + 300, **options.claims}
        claims |= {name: value for name, value in (("iss", options.issuer), ("aud", options.audience)) if value}
        if options.body_hash is not None:
            claims[options.body_hash.claim] = _hash(inbound.body, options.body_hash)
        token = _JWS.encode(orjson.dumps(claims), self.secrets[0], algorithm=self.algorithms[0])
        return SenderProof(((options.header, self.prefix + token),), is_credential=options.body_hash is None)

    def _keys_for(self, token: str) -> Sequence[Any] | Unverified | KeysAwaited | KeysUnavailable:
        """The keys that may have signed the token."""
        if len(token) > MAX_TOKEN:
            return Unverified(VerifyFailure.MALFORMED, "the token is too long")
        try:
            header = pyjwt.get_unverified_header(token)
        except pyjwt.PyJWTError:
            return Unverified(VerifyFailure.MALFORMED, "the token is not a JWT")
        if not all(_is_canonical(part) for part in token.split(".")):
            return Unverified(VerifyFailure.MALFORMED, "the token is not canonical base64url")
        # extensions that a reader must understand (RFC 7515, section 4.1.11); older PyJWTs ignore them
        if "crit" in header:
            return Unverified(VerifyFailure.MALFORMED, "the token needs extensions that the router does not know")
        if header.get("alg") not in self.algorithms:
            return Unverified(VerifyFailure.MISMATCH, "the token is signed by an algorithm that is not accepted")
        if self.keys is None:
            return self.secrets
        source = self.keys
        keys = source.get() if isinstance(source, Fetched) else source
        if isinstance(keys, KeysAwaited | KeysUnavailable):
            return keys
        kid = header.get("kid", "")
        if not isinstance(kid, str) or kid not in keys:
            newer = source.newer() if isinstance(source, Fetched) else None
            return newer or Unverified(VerifyFailure.MISMATCH, "the token is signed by a key that is not in the JWKS")
        return [keys[kid]]

    def _claims(self, token: str, keys: Sequence[Any], now: int) -> Mapping[str, Any] | Unverified:
        for key in keys:
            try:
                claims = orjson.loads(_JWS.decode(token, key, algorithms=list(self.algorithms)))
            except pyjwt.InvalidSignatureError:
                continue
            except (pyjwt.PyJWTError, orjson.JSONDecodeError, ValueError, TypeError, OverflowError):
                return Unverified(VerifyFailure.MALFORMED, "the token can't be read")
            if not isinstance(claims, dict):
                return Unverified(VerifyFailure.MALFORMED, "the token holds no claims")
            return self._wrong_time(claims, now) or claims
        return Unverified(VerifyFailure.MISMATCH, "the token's signature fits no key")

    def _wrong_time(self, claims: Mapping[str, Any], now: int) -> Unverified | None:
        """Why the token is not valid at this time. The time is the request's, so that tests and replays can choose
        it."""
        seconds, off = now / 1000, self.options.tolerance
        by_body = self.options.body_hash is not None  # such a token is good for one body only, so it needs no expiry
        needed = "iat" if self.options.max_age is not None else "" if by_body else "exp"
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name)
            if value is None and name != needed:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool):
                return Unverified(VerifyFailure.MALFORMED, f"the token's {name} is missing or not a time")
            if name == "exp" and seconds > value + off:
                return Unverified(VerifyFailure.TIME, "the token has expired")
            if name != "exp" and seconds < value - off:
                return Unverified(VerifyFailure.TIME, "the token is not valid yet")
            if name == "iat" and self.options.max_age is not None and seconds > value + self.options.max_age + off:
                return Unverified(VerifyFailure.TIME, "the token is too old; is this a replay?")
        return None

    def _wrong_claim(self, claims: Mapping[str, Any], body: bytes) -> Unverified | None:
        if self.options.issuer is not None and claims.get("iss") != self.options.issuer:
            return Unverified(VerifyFailure.MISMATCH, "the token is from another issuer")
        if self.options.audience is not None and self.options.audience not in _audiences(claims.get("aud")):
            return Unverified(VerifyFailure.MISMATCH, "the token is for another audience")
        for name, wanted in self.options.claims.items():
            if type(claims.get(name)) is not type(wanted) or claims[name] != wanted:
                return Unverified(VerifyFailure.MISMATCH, f"the token's claim {name} has another value")
        if self.options.body_hash is None:
            return None
        given, actual = claims.get(self.options.body_hash.claim), _hash(body, self.options.body_hash)
        if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), actual.encode()):
            return Unverified(VerifyFailure.MISMATCH, "the token is for another body")
        return None


def _is_canonical(part: str) -> bool:
    """Whether a part of a token is the only spelling of its bytes. Unused bits would allow others."""
    try:
        return urlsafe_b64encode(urlsafe_b64decode(part + "=" * (-len(part) % 4))).decode().rstrip("=") == part
    except ValueError:
        return False


def _audiences(claim: Any) -> list[Any]:
    return claim if isinstance(claim, list) else [claim]


def _hash(body: bytes, options: BodyHashOptions) -> str:
    return encoded(hashlib.new(options.algorithm, body).digest(), options.encoding)


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Compile the options to a verifier. Faults go to the build."""
    check_header(options.header, build, "header")
    if (options.jwks is None) == (options.secret is None):
        build.fault("expected exactly one of jwks and secret")
    if options.jwks is not None and (options.issuer is None or options.audience is None) and not options.body_hash:
        build.fault(
            "a token of a public issuer needs issuer and audience; otherwise any token of that issuer would be accepted"
        )
    algorithms = tuple(options.algorithms or (("HS256",) if options.secret is not None else _PUBLIC))
    if any(name.startswith("HS") != (options.secret is not None) for name in algorithms):
        build.fault("HS… goes with a secret, every other algorithm with jwks", "algorithms")
    prefix = options.prefix if options.prefix is not None else _usual_prefix(options.header)
    secrets = key_bytes(resolve(options.secret, build)) if options.secret is not None else ()
    keys = jwks_keys(options.jwks, build) if options.jwks is not None else None
    return Jwt(options, prefix, algorithms, secrets, keys)


def _usual_prefix(header: str) -> str:
    return "Bearer " if header.lower() == "authorization" else ""
