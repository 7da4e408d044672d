"""Guards plugins of other packages: whatever they raise, only what uses them fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog

from router.domain.action_answer import ActionAnswer
from router.domain.errors import RenderError
from router.domain.outcomes import Cause, Outcome, OutcomeKind, Sent
from router.domain.request import Inbound
from router.plugins.action import Action, ActionType, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.entry_points import one_line, text_of
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

_LONGEST_TEXT = 200  #: characters of a foreign exception
_LONGEST_REASON = 500  #: characters of an outcome's error
_LONGEST_EXCERPT = 16 * 1024  #: characters; as many as a command's output may have
_LARGEST_STATUS = 2**31

log = structlog.get_logger()


def fit_action(name: str, package: str, found: Any) -> ActionType:
    """The action type, guarded. Raises ValueError when the object is not an action type."""
    if not isinstance(found, ActionType):
        raise ValueError(f"expected an ActionType of router.plugins.action, found {_kind(found)}")
    if found.name != name:
        raise ValueError(f'its ActionType is called "{found.name}", and its entry point "{name}"; they have to agree')
    _check_options(found.options)
    if not callable(found.compile) or not callable(found.open_resources):
        raise ValueError("compile and open_resources have to be functions")
    if found.check_target_url is not None or found.compile_connection is not None:
        raise ValueError("check_target_url and compile_connection are the forward's; named targets are URLs")
    return replace(
        found,
        compile=lambda options, build: _compiled(found, package, options, build),
        open_resources=lambda: _opened(found.open_resources, found.name, package),
    )


def _compiled(found: ActionType, package: str, options: Any, build: Build) -> Action:
    try:
        made = found.compile(options, build)
        if not isinstance(made.target, TargetSpec) or not callable(made.attempt) or not callable(made.preview):
            build.fault(f"the plugin of {package} is wrong: its action has no target, attempt or preview")
            return _Unusable(found.name, TargetSpec(build.name, 1))
        return _ForeignAction(found.name, made.target, made, package)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the border to a foreign package
        build.fault(f"the plugin of {package} fails: {_short(error)}")
        return _Unusable(found.name, TargetSpec(build.name, 1))


@dataclass(frozen=True, slots=True)
class _Unopened:
    """Stands for resources that could not be opened."""

    reason: str


@asynccontextmanager
async def _opened(
    open_resources: Callable[[], AbstractAsyncContextManager[Any]], name: str, package: str
) -> AsyncIterator[Any]:
    """The resources, or the reason why they can't be opened. Deliveries of other actions are not affected."""
    stack, resources = AsyncExitStack(), None
    try:
        resources = await stack.enter_async_context(open_resources())
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - the border to a foreign package
        log.error("plugin can't open its resources", name=name, package=package, error=_short(error))
        resources = _Unopened(f"the plugin of {package} can't open its resources: {type(error).__name__}")
    try:
        yield resources
    finally:
        try:
            await stack.aclose()
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - the border to a foreign package
            log.error("plugin can't close its resources", name=name, package=package, error=_short(error))


@dataclass(frozen=True, slots=True)
class _ForeignAction:
    """An action of a plugin. The caller of `attempt` catches its exceptions."""

    type: str
    target: TargetSpec
    made: Action
    package: str

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """See Action.preview."""
        try:
            made = dict(self.made.preview(job))
            orjson.dumps(made)  # it is shown as JSON
            return made
        except (RenderError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - the border to a foreign package
            raise RenderError(f"the plugin of {self.package} fails: {type(error).__name__}") from None

    async def attempt(self, job: AttemptInput, tools: Tools[Any]) -> Outcome:
        """See Action.attempt."""
        if isinstance(tools.resources, _Unopened):
            return Outcome.retry(tools.resources.reason, cause=Cause.FAULT)
        task = asyncio.current_task()
        try:
            return _checked(await self.made.attempt(job, tools), self.package)
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:  # for example SystemExit, which would end all deliveries
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise
            raise RuntimeError(f"the plugin of {self.package} raised {type(error).__name__}") from error


def _checked(outcome: Any, package: str) -> Outcome:
    """The outcome in a form that the store can keep. Raises TypeError for anything else."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"the plugin of {package} gave no Outcome")
    fits = (
        isinstance(outcome.kind, OutcomeKind)
        and isinstance(outcome.error, str)
        and isinstance(outcome.excerpt, str)
        and (outcome.status is None or (type(outcome.status) is int and abs(outcome.status) < _LARGEST_STATUS))
        and (outcome.cause is None or isinstance(outcome.cause, Cause))
        and (outcome.retry_after is None or isinstance(outcome.retry_after, int | float))
        and (outcome.sent is None or isinstance(outcome.sent, Sent))
        and (outcome.answer is None or isinstance(outcome.answer, ActionAnswer))
    )
    if not fits:
        raise TypeError(f"the plugin of {package} gave an Outcome with a value of another type")
    return replace(outcome, error=one_line(outcome.error, _LONGEST_REASON), excerpt=outcome.excerpt[:_LONGEST_EXCERPT])


@dataclass(frozen=True, slots=True)
class _Unusable:
    """Stands for an action whose plugin failed while it was compiled. The loader drops it."""

    type: str
    target: TargetSpec

    def preview(self, job: AttemptInput) -> dict[str, Any]:  # noqa: ARG002 - see Action.preview
        """See Action.preview."""
        raise RenderError("the plugin fails")

    async def attempt(self, job: AttemptInput, tools: Tools[Any]) -> Outcome:  # noqa: ARG002 - see Action.attempt
        """See Action.attempt."""
        return Outcome.failed("the plugin fails")


def fit_scheme(name: str, package: str, found: Any) -> Scheme:  # noqa: ARG001 - as for actions
    """The scheme, guarded. Raises ValueError when the object is not a scheme."""
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
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the border to a foreign package
            build.fault(f"the plugin of {self.package} fails: {_short(error)}")
            return _Closed()


class _ForeignVerifier:
    """A verifier of a plugin. If it fails, the request is refused."""

    def __init__(self, made: Verifier, package: str) -> None:
        self._made = made
        self._package = package
        self.verifies = bool(made.verifies)
        self.signed_parts: SignedParts | None = made.signed_parts

    def verify(self, inbound: Inbound, now: int) -> Verdict:
        """See Verifier.verify."""
        try:
            verdict = self._made.verify(inbound, now)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the border to a foreign package
            return KeysUnavailable(f"the plugin of {self._package} fails: {type(error).__name__}")
        if not isinstance(verdict, Verdict):
            return KeysUnavailable(f"the plugin of {self._package} gave no verdict")
        return verdict

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """See Verifier.sign."""
        try:
            return self._made.sign(inbound, now)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the border to a foreign package
            return Unsignable(f"the plugin of {self._package} fails: {type(error).__name__}")


class _Closed:
    """Refuses every request. The loader drops it."""

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


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error, _LONGEST_TEXT)}"
