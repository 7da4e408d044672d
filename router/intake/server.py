"""waitress, corrected: what its version 3.0.2 does badly under our load, and defaults that are too open.

The corrections reach into this version's inner parts, so another version is refused at start. They are: a loop of our
own, since waitress's asks every connection at every turn what it waits for; small requests are judged in the loop's own
thread, since handing each to a worker and back costs more than judging it; and answers that wait for a commit hold no
thread while they do (`Pending`).
"""

import contextlib
import errno
import importlib.metadata
import itertools
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
import waitress.adjustments
import waitress.server
import waitress.task
from waitress import wasyncore

from router.errors import StartError
from router.intake.connection import Channel
from router.intake.parser import HEADER_BYTES, BodyLimit, Parser
from router.intake.pending import Pending
from router.intake.receiver import ANSWER_SECONDS
from router.model import Reply
from router.settings import MAX_CONNECTIONS, REQUEST_SECONDS
from router.store.waking import wake_up

WAITRESS = "3.0.2"
THREADS = 4  #: for requests that are not judged in the loop's thread; they share one interpreter anyway
INLINE_BYTES = 64 * 1024  #: bodies up to this are judged in the loop's thread: that takes less than a millisecond
BACKLOG = 1024
BODY_MEMORY = 256 * 1024  #: bytes of a body kept in memory; a larger one goes to a temporary file while it arrives
IDLE_SECONDS = 120  #: how long a connection may say nothing
CROWDED_IDLE_SECONDS = 5  #: the same while all connections are taken
LINGER_SECONDS = 2.0  #: how long a refused sender may go on sending before its connection is cut
_SWEEP_SECONDS = 2
_POLL_SECONDS = 0.25
_BEHIND_SECONDS = 0.05
_ACCEPTED_AT_ONCE = 64  #: connections, before the others get their turn
_BUSY_SECONDS = 0.02  #: after its last request, in which the server counts as busy
_STILL_SECONDS = 0.25  #: that a connection has to be idle before a stop closes it
_REST_SECONDS = 1.0  #: without accepting when there are no descriptors left, or after a fault of ours
_UNBOUNDED = 1 << 62  #: for limits of waitress that the parser or the loop see to
_IN, _OUT = select.POLLIN, select.POLLOUT

log = structlog.get_logger()

Judge = Callable[[str, str, str, tuple[tuple[str, str], ...], bytes, str], Reply | Pending]
"""From method, path, query, headers, body and address to an answer, or to one that comes later."""

Answered = Callable[[str, int], None]
"""Told path and status of each answer that no application gave: to what can't be read, and to faults."""


class _Work:
    """What a worker is given: one request of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def service(self) -> None:
        self._channel.service()
        self._channel.server.touched(self._channel)

    def cancel(self) -> None:
        self._channel.cancel()


class _Listener(waitress.server.TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """The listening socket and the loop. All but what says otherwise belongs to the loop's thread."""

    channel_class = Channel
    request_seconds = REQUEST_SECONDS
    connections = MAX_CONNECTIONS
    name = ""  #: for the log, of one that is not the intake
    makes_room = False  #: when all connections are taken, by cutting those that have waited longest to ask
    body_limit: BodyLimit
    judge: Judge | None = None  #: what small requests are given to, in the loop's thread
    answered: Answered  #: by workers, too
    stopping = False  #: answers say that the connection ends with them
    shown_port = ""
    last_request = 0.0  #: monotonic

    def prepare(self) -> None:
        """Before anything is watched: waitress registers its own parts while it is being made."""
        self.poller = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._listening = False
        self._crowded = False  # said so already
        self._resting_until = 0.0  # monotonic; accepts nothing until then
        self._swept = time.monotonic()
        self._waking = threading.Lock()
        self._asleep = False  # for ever: the descriptor that wakes it may be another file's by now
        self._woken = False
        self._inline: deque[Channel] = deque()
        self._touched: deque[Channel] = deque()
        self._answers: deque[tuple[Channel, int]] = deque()
        self._serials = itertools.count()
        self.waiting: dict[Channel, tuple[int, Pending]] = {}  #: answers to come
        self._since: deque[tuple[float, Channel, int]] = deque()  # the same by age; some are answered already

    def watch(self, channel: Channel) -> None:
        """A connection was accepted."""
        self.poller.register(channel, _IN)
        channel.watched = _IN

    def forget(self, channel: Channel) -> None:
        """A connection is being closed."""
        if channel.watched is not None:
            channel.watched = None
            self.poller.unregister(channel)

    def touched(self, channel: Channel) -> None:
        """A worker is done with a request; any thread."""
        self._touched.append(channel)
        self.pull_trigger()

    def pull_trigger(self) -> None:
        """Wake the loop; any thread."""
        if not self._woken:  # once is enough, and each costs a write
            with self._waking:
                if not self._asleep:
                    self._woken = True
                    self.trigger.pull_trigger()

    def is_small(self, request: Parser) -> bool:
        """Whether the loop judges the request by itself."""
        return self.judge is not None and request.body_bytes_received <= INLINE_BYTES

    def add_task(self, channel: Channel) -> None:
        """A request has arrived whole, or another one waits behind one that was answered."""
        self.last_request = time.monotonic()
        if self.is_small(channel.requests[0]):
            self._inline.append(channel)
        else:
            self.task_dispatcher.add_task(_Work(channel))

    def answer_later(self, channel: Channel, pending: Pending) -> None:
        """The first request of the channel is answered when its future is done; any thread."""
        serial = next(self._serials)
        self.waiting[channel] = serial, pending
        self._since.append((time.monotonic(), channel, serial))
        # The future must not know what knows it: the event would live on until the garbage collector comes round.
        pending.future.add_done_callback(partial(self._answer_soon, channel, serial))

    def _answer_soon(self, channel: Channel, serial: int, _: Any) -> None:
        self._answers.append((channel, serial))
        wake_up(self.pull_trigger)

    def turn(self, timeout: float) -> None:
        """Wait for something to happen, and serve it."""
        now = time.monotonic()
        if now >= self._swept + _SWEEP_SECONDS:
            self._swept = now
            self._sweep(now)
        self._listen(wanted=self.accepting and not self._is_full() and now >= self._resting_until)
        if self._inline or self._answers or self._touched:
            timeout = 0.0
        ready = self.poller.poll(timeout) if hasattr(select, "epoll") else self.poller.poll(timeout * 1000)
        for number, events in ready:
            found = self._map.get(number)
            if found is self:
                self._accept()
            elif isinstance(found, Channel):
                self._serve(found, events)
            elif found is not None:
                self._woken = False
                wasyncore.readwrite(found, events)
        self._woken = False
        self._answer_ready()
        self._judge()
        while self._touched:
            self._settle(self._touched.popleft())
        self._give_up()
        if self.makes_room and self._is_full():
            self._make_room()

    def _make_room(self) -> None:
        """Cut the older ones of those that have not asked anything yet; at a turn's end, when no event is left to be
        served, since the next connection gets the descriptor of one that is cut."""
        quiet = [c for c in self.active_channels.values() if not (c.requests or c.total_outbufs_len)]  # as they came
        for channel in quiet[: max(1, self.connections // 4)]:
            channel.abandon()

    def _is_full(self) -> bool:
        return len(self.active_channels) >= self.connections

    def _listen(self, wanted: bool) -> None:
        if wanted != self._listening and self._fileno is not None:
            if wanted:
                self.poller.register(self._fileno, _IN)
            else:
                self.poller.unregister(self._fileno)
            self._listening = wanted

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            before = len(self.active_channels)
            self.handle_accept()
            if len(self.active_channels) == before:
                return
            if self._is_full():
                self._tell_of_crowd()
                return

    def _tell_of_crowd(self) -> None:
        if self._crowded:
            return
        self._crowded = True
        if self.makes_room:
            log.warning("all connections are taken; those that ask nothing are cut", connections=self.connections)
        else:
            log.warning("all connections are taken; further senders wait", connections=self.connections)

    def accept(self) -> tuple[socket.socket, Any] | None:
        """A new connection, none when nobody waits or none can be had."""
        try:
            accepted: tuple[socket.socket, Any] | None = super().accept()
        except OSError as error:
            # Whoever can't be accepted goes on waiting, and the poller goes on saying so.
            self._resting_until = time.monotonic() + _REST_SECONDS
            reason = errno.errorcode.get(error.errno or 0, "")
            log.error("connection can't be accepted; further senders wait", error=reason)
            return None
        return accepted

    def _serve(self, channel: Channel, events: int) -> None:
        if events & _IN and not channel.readable():
            # Said only now that it happens: most senders wait for their answer before they say more.
            events &= ~_IN
            self._watch(channel, (channel.watched or 0) & ~_IN)
        wasyncore.readwrite(channel, events)
        self._judge()
        self._settle(channel)
        self._answer_ready()  # the others' answers need not wait until all of this turn's requests are judged

    def _judge(self) -> None:
        """Serve a request of each connection that has one: who sent many in one breath takes turns with the others."""
        for _ in range(len(self._inline)):
            channel = self._inline.popleft()
            if channel.total_outbufs_len:  # its sender does not take the answers that it has
                channel.held = True
            else:
                self._attend(channel)
            self._settle(channel)

    def _attend(self, channel: Channel) -> None:
        """Serve the first request of a connection. A fault ends this connection, not the loop."""
        try:
            channel.service()
        except Exception:  # noqa: BLE001 - the boundary between one sender and all the others
            channel.handle_error()

    def _answer_ready(self) -> None:
        while self._answers:
            channel, serial = self._answers.popleft()
            if self._waits(channel, serial):
                self._answer(channel)

    def _waits(self, channel: Channel, serial: int) -> bool:
        waiting = self.waiting.get(channel)
        return waiting is not None and waiting[0] == serial

    def _give_up(self) -> None:
        """Answer those that have waited too long; their commit may still come, and dedupe tells a repeat apart."""
        too_old = time.monotonic() - ANSWER_SECONDS
        while self._since:
            since, channel, serial = self._since[0]
            waits = self._waits(channel, serial)
            if waits and since > too_old:
                return
            self._since.popleft()
            if waits:
                self._answer(channel)

    def _answer(self, channel: Channel) -> None:
        _, pending = self.waiting.pop(channel)
        reply = pending.reply(0)  # whoever may hear it: it is what logs and counts the event
        if channel.requests:  # none when it was closed meanwhile
            channel.reply = reply
            self._attend(channel)
            self._settle(channel)

    def _settle(self, channel: Channel) -> None:
        """After anything was done with a connection: write or close what is due, and watch for what it waits for."""
        if channel.watched is None:
            return
        if channel.writable():
            wasyncore.readwrite(channel, _OUT)
            if channel.watched is None:
                return
        if channel.held and not channel.total_outbufs_len:
            channel.held = False
            self._inline.append(channel)
        events = channel.watched & _IN
        if not events and channel.readable():
            events = _IN
        if channel.writable():
            events |= _OUT
        if events != channel.watched:
            self._watch(channel, events)

    def _watch(self, channel: Channel, events: int) -> None:
        channel.watched = events
        self.poller.modify(channel, events)

    def _sweep(self, now: float) -> None:
        """Cut off who says nothing, or takes too long to say it; now is monotonic."""
        still = self.connections // 2 if self.makes_room else self.connections
        self._crowded = self._crowded and len(self.active_channels) >= still
        idle = time.time() - (CROWDED_IDLE_SECONDS if self._is_full() else IDLE_SECONDS)
        for channel in list(self.active_channels.values()):
            if channel.lingering_since is not None:
                if channel.lingering_since < now - LINGER_SECONDS:
                    channel.handle_close()
            elif channel.requests:
                # Whoever does not take the answers to what it asked: the output is all that keeps it from the next.
                if channel.held and channel.last_activity < idle:
                    channel.abandon()
            # Any byte counts as activity, so a drip of single bytes would live for ever without a bound on the whole.
            elif channel.request_began is not None and channel.request_began < now - self.request_seconds:
                channel.time_out()
            elif channel.last_activity < idle and (channel.request_began is None or channel.total_outbufs_len):
                channel.will_close = True
                self._settle(channel)

    def close_poller(self) -> None:
        """Give its descriptor back, at the very end."""
        if hasattr(self.poller, "close"):
            self.poller.close()

    def fall_asleep(self) -> None:
        """Nobody wakes the loop from here on; before its descriptors are closed."""
        with self._waking:
            self._asleep = True

    def answer_all(self) -> None:
        """Answer whoever still waits for a commit, at the end of a stop's patience."""
        for channel in list(self.waiting):
            self._answer(channel)

    def stop_accepting(self) -> None:
        """Close the listening socket, and let each connection's next answer be its last."""
        # Whoever connected before the stop has perhaps sent a request already: closing now would reset it unread.
        for _ in range(BACKLOG // _ACCEPTED_AT_ONCE):
            self._accept()
        self.stopping = True
        self.accepting = False
        self._listen(wanted=False)
        wasyncore.dispatcher.close(self)

    def close_idle(self) -> None:
        """Close connections on which nothing is under way, and has not been for a moment."""
        # A sender that has just been answered may be sending its next request: it is answered too, as the last.
        still = time.time() - _STILL_SECONDS
        for channel in list(self.active_channels.values()):
            busy = channel.requests or channel.request is not None or channel.total_outbufs_len
            if not busy and channel.last_activity < still and not _has_unread(channel.socket):
                with contextlib.suppress(OSError):
                    channel.handle_close()


class Server:
    """One listener with its workers. `start` and `stop` belong to one thread; it serves in threads of its own."""

    def __init__(
        self,
        app: Callable[..., Any],
        host: str,
        port: int,
        *,
        body_limit: BodyLimit = lambda _: 1024 * 1024,
        threads: int = THREADS,
        connections: int = MAX_CONNECTIONS,
        makes_room: bool = False,
        name: str = "",
        request_seconds: float = REQUEST_SECONDS,
        judge: Judge | None = None,
        answered: Answered = lambda *_: None,
    ) -> None:
        """Bind. Raises StartError when the address can't be had, or waitress is another version.

        `body_limit` says the largest body of a path, in bytes. `judge` never blocks: it gets the small requests, in the
        loop's thread, instead of the app; the app then may leave an answer for later, too, by calling
        `environ[DEFER_KEY]` with a Pending. With `makes_room`, when all connections are taken, those that came first
        and ask nothing are cut; without, further ones wait.
        """
        found = importlib.metadata.version("waitress")
        if found != WAITRESS:
            raise StartError(f"this program needs waitress {WAITRESS}, found {found}; install it again")
        # A warning for each request that waits for a worker is noise: the answers' latency says it.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._map: dict[int, Any] = {}
        self._pings: deque[Callable[[], None]] = deque()
        self._ending = False
        self._stopped = False
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        sock = _bind(host, port, shown)
        try:
            self._adj = waitress.adjustments.Adjustments(
                sockets=[sock],
                threads=threads,
                ident=None,
                backlog=BACKLOG,
                connection_limit=_UNBOUNDED,
                max_request_header_size=HEADER_BYTES,
                max_request_body_size=_UNBOUNDED,
                inbuf_overflow=BODY_MEMORY,
                # Above it waitress waits for the loop to write, which the loop itself must not.
                outbuf_high_watermark=_UNBOUNDED,
                clear_untrusted_proxy_headers=False,  # they are data here: nothing believes them
                expose_tracebacks=False,
                log_socket_errors=False,
            )
            self._tasks = waitress.task.ThreadedTaskDispatcher()
            info = (sock.family, sock.type, sock.proto, sock.getsockname())
            self._server = _Listener.__new__(_Listener)
            self._server.prepare()
            self._server.__init__(  # type: ignore[misc]
                app, self._map, _sock=sock, dispatcher=self._tasks, adj=self._adj, bind_socket=False, sockinfo=info
            )
            self._server.poller.register(self._server.trigger._fileno, _IN)  # noqa: SLF001 - waitress has no other name for it
        except BaseException:
            sock.close()
            raise
        self._server.body_limit = body_limit
        self._server.connections = connections
        self._server.makes_room = makes_room
        self._server.name = name
        self._server.request_seconds = request_seconds
        self._server.judge = judge
        self._server.answered = answered
        self._server.shown_port = str(self._server.effective_port)
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._run, name=f"http-{self.port}", daemon=True)
        self._threads = threads

    def is_busy(self) -> bool:
        """Whether requests are being answered; any thread may ask."""
        return bool(self._server.waiting) or time.monotonic() - self._server.last_request < _BUSY_SECONDS

    def connections(self) -> tuple[int, int]:
        """How many are open, and how many may be; any thread may ask."""
        return len(self._server.active_channels), self._server.connections

    @property
    def alive(self) -> bool:
        """Whether it takes requests and answers them; any thread may ask."""
        return self._thread.is_alive() and not self._stopped

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function after its next turn that ends well; any thread may ask."""
        self._pings.append(answer)
        self._server.pull_trigger()

    def start(self) -> None:
        """Serve."""
        self._tasks.set_thread_count(self._threads)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop: accept nothing new, let requests that have begun be answered within `timeout` seconds, then close.

        In that order, since whoever is not accepted can be sent elsewhere, while a request that is cut off in the
        middle leaves its sender in doubt.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._thread.is_alive():
            deadline = time.monotonic() + timeout
            self._server.trigger.pull_trigger(self._server.stop_accepting)
            while self._server.active_channels and time.monotonic() < deadline:
                self._server.trigger.pull_trigger(self._server.close_idle)
                time.sleep(_BEHIND_SECONDS)
            self._server.trigger.pull_trigger(self._server.answer_all)
            self._server.trigger.pull_trigger(self._end)
            self._thread.join(10)
            self._tasks.shutdown(timeout=1)
        self._server.fall_asleep()  # commits and workers may still come
        wasyncore.close_all(self._map)
        self._server.close_poller()

    def _end(self) -> None:
        self._ending = True

    def _run(self) -> None:
        while not self._ending:
            try:
                self._server.turn(_POLL_SECONDS)
                while self._pings:
                    self._pings.popleft()()
            except Exception:  # whatever it was, senders that come later must be served
                log.exception("the loop of a listener failed; it goes on")
                time.sleep(_REST_SECONDS)


def _has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _bind(host: str, port: int, shown: str) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise StartError(f"can't listen on {shown}: {error.strerror or error}; check the address") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise StartError(
            f"can't listen on {shown}: {error.strerror}; stop what listens there, or choose another"
        ) from None
    return sock
