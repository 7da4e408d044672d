"""Plugins of other packages behind a guard: whatever they raise, only what uses them fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from router.domain.errors import RenderError
from router.domain.outcomes import Outcome
from router.domain.request import Inbound
from router.plugins.action import Action, ActionType, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.scheme import (
    KeysUnavailable,
    Scheme,
    SenderProfile,
    SenderProof,
    SignedParts,
    Unsignable,
    Verdict,
    Verifier,
)
from router.plugins.target import TargetSpec


def fit_action(name: str, package: str, found: Any) -> ActionType:
    """The action type, guarded. Raises ValueError when the object is none."""
    if not isinstance(found, ActionType):
        raise ValueError(f"expected an ActionType of router.plugins.action, found {_kind(found)}")
    if found.name != name:
        raise ValueError(f'its ActionType is called "{found.name}", and its entry point "{name}"; they have to agree')
    _check_options(found.options)
    if not callable(found.compile) or not callable(found.open_resources):
        raise ValueError("compile and open_resources have to be functions")
    if found.check_target_url is not None or found.compile_connection is not None:
        raise ValueError("check_target_url and compile_connection are the forward's; named targets are URLs")
    return replace(found, compile=lambda options, build: _compiled(found, package, options, build))


def _compiled(found: ActionType, package: str, options: Any, build: Build) -> Action:
    try:
        made = found.compile(options, build)
        if not isinstance(made.target, TargetSpec) or not callable(made.attempt) or not callable(made.preview):
            build.fault(f"the plugin of {package} is wrong: its action has no target, attempt or preview")
            return _Unusable(found.name, TargetSpec(build.name, 1))
        return _ForeignAction(found.name, made.target, made, package)
    except Exception as error:  # noqa: BLE001 - the border to a foreign package
        build.fault(f"the plugin of {package} fails: {_short(error)}")
        return _Unusable(found.name, TargetSpec(build.name, 1))


@dataclass(frozen=True, slots=True)
class _ForeignAction:
    """An action of a plugin. What `attempt` raises is caught where attempts are made."""

    type: str
    target: TargetSpec
    made: Action
    package: str

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """See Action.preview."""
        try:
            return dict(self.made.preview(job))
        except RenderError:
            raise
        except Exception as error:  # noqa: BLE001 - the border to a foreign package
            raise RenderError(f"the plugin of {self.package} fails: {type(error).__name__}") from None

    async def attempt(self, job: AttemptInput, tools: Tools[Any]) -> Outcome:
        """See Action.attempt."""
        outcome = await self.made.attempt(job, tools)
        if not isinstance(outcome, Outcome):
            raise TypeError(f"the plugin of {self.package} gave no Outcome")
        return outcome


@dataclass(frozen=True, slots=True)
class _Unusable:
    """The action of a plugin that failed while it was compiled; the loader drops it."""

    type: str
    target: TargetSpec

    def preview(self, job: AttemptInput) -> dict[str, Any]:  # noqa: ARG002 - see Action.preview
        """See Action.preview."""
        raise RenderError("the plugin fails")

    async def attempt(self, job: AttemptInput, tools: Tools[Any]) -> Outcome:  # noqa: ARG002 - see Action.attempt
        """See Action.attempt."""
        return Outcome.failed("the plugin fails")


def fit_scheme(name: str, package: str, found: Any) -> Scheme:  # noqa: ARG001 - as for actions
    """The scheme, guarded. Raises ValueError when the object is none."""
    missing = [word for word in ("Options", "DEFAULTS", "PROFILE", "compile") if not hasattr(found, word)]
    if missing:
        raise ValueError(f"a scheme has Options, DEFAULTS, PROFILE and compile; it lacks {', '.join(missing)}")
    _check_options(found.Options)
    if not isinstance(found.PROFILE, SenderProfile) or not isinstance(found.DEFAULTS, Mapping):
        raise ValueError("PROFILE has to be a SenderProfile of router.plugins.scheme, DEFAULTS a mapping")
    if not callable(found.compile):
        raise ValueError("compile has to be a function")
    return _ForeignScheme(found.Options, found.DEFAULTS, found.PROFILE, found.compile, package)


@dataclass(frozen=True, slots=True)
class _ForeignScheme:
    Options: type[Options]
    DEFAULTS: Mapping[str, Any]
    PROFILE: SenderProfile
    made: Callable[[Any, Build], Verifier]
    package: str

    def compile(self, options: Any, build: Build) -> Verifier:
        """See Scheme.compile."""
        try:
            return _ForeignVerifier(self.made(options, build), self.package)
        except Exception as error:  # noqa: BLE001 - the border to a foreign package
            build.fault(f"the plugin of {self.package} fails: {_short(error)}")
            return _Closed()


class _ForeignVerifier:
    """A verifier of a plugin. What fails lets nobody in."""

    def __init__(self, made: Verifier, package: str) -> None:
        self._made = made
        self._package = package
        self.verifies = bool(made.verifies)
        self.signed_parts: SignedParts | None = made.signed_parts

    def verify(self, inbound: Inbound, now: int) -> Verdict:
        """See Verifier.verify."""
        try:
            verdict = self._made.verify(inbound, now)
        except Exception as error:  # noqa: BLE001 - the border to a foreign package
            return KeysUnavailable(f"the plugin of {self._package} fails: {type(error).__name__}")
        if not isinstance(verdict, Verdict):
            return KeysUnavailable(f"the plugin of {self._package} gave no verdict")
        return verdict

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """See Verifier.sign."""
        try:
            return self._made.sign(inbound, now)
        except Exception as error:  # noqa: BLE001 - the border to a foreign package
            return Unsignable(f"the plugin of {self._package} fails: {type(error).__name__}")


class _Closed:
    """Lets nobody in; the loader drops it."""

    verifies = True
    signed_parts: SignedParts | None = None

    def verify(self, inbound: Inbound, now: int) -> Verdict:  # noqa: ARG002 - see Verifier.verify
        """See Verifier.verify."""
        return KeysUnavailable("the plugin fails")

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:  # noqa: ARG002 - see Verifier.sign
        """See Verifier.sign."""
        return Unsignable("the plugin fails")


def _check_options(options: Any) -> None:
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise ValueError(f"its options have to be a class below router.plugins.options.Options, found {_kind(options)}")
    options.model_json_schema()  # `webhook-router schema` shows it


def _kind(found: Any) -> str:
    return found.__name__ if isinstance(found, type) else type(found).__name__


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
