"""The process, which is the program's: its signals, its forked children, its interpreters, its patched threads.

The library is a guest there. Its threads leave all signals to the program's own, and a child that the program forks has
no part in what its parent has started: it neither uses nor holds it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Set
from types import TracebackType

from .errors import BassWebRtcError, ClosedError

SignalMask = Set[int]

if sys.platform == "win32":
    # A process there has no signals that threads could block; Ctrl-C makes a thread of its own.

    def signal_mask() -> SignalMask:
        """Return the signals that the calling thread blocks."""
        return frozenset()

    def leave_real_time_signals_open() -> None:
        """Let threads that start from now on block real-time signals only if the thread that starts them does."""

    @contextlib.contextmanager
    def masked_signals(mask: SignalMask | None = None) -> Iterator[None]:
        """Let the calling thread block these signals in the block; None: those that our threads leave alone."""
        yield

else:
    _FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
    """What an instruction of the thread itself raises. The system ends a process that blocks them, and no crash handler
    of the program runs. Virtual machines, whose code a callback may run, need them for ordinary work."""
    _REAL_TIME = {one for one in signal.valid_signals() if one >= getattr(signal, "SIGRTMIN", signal.NSIG)}
    _blocked = frozenset(signal.valid_signals() - _FAULTS)

    def signal_mask() -> SignalMask:
        """Return the signals that the calling thread blocks."""
        return signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def leave_real_time_signals_open() -> None:
        """Let threads that start from now on block real-time signals only if the thread that starts them does.

        For programs in languages whose runtime, as Mono's, stops with one of these each thread that has run a callback,
        and waits for all of them. It would wait until the next callback.
        """
        global _blocked
        _blocked -= _REAL_TIME

    @contextlib.contextmanager
    def masked_signals(mask: SignalMask | None = None) -> Iterator[None]:
        """Let the calling thread block these signals in the block; None: those that our threads leave alone."""
        if mask is None:
            mask = _blocked | (signal_mask() & _REAL_TIME)
        before = signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_thread(thread: threading.Thread) -> None:
    """Start a thread that blocks all signals from its first instruction on, as do the threads that it starts.

    Raises:
        RuntimeError: The system has no thread left.
    """
    with masked_signals():
        thread.start()


_STANDARD_ERROR = 2
_PATCHERS = (("gevent", "gevent.monkey", "is_module_patched"), ("eventlet", "eventlet.patcher", "is_monkey_patched"))
_PATCHED = ("thread", "threading", "select", "selectors", "socket", "queue")


def check_patches() -> None:
    """Check that threads and sockets are those of the operating system.

    Raises:
        BassWebRtcError: The program has replaced them by ones that take turns on one thread.
    """
    for name, module, function in _PATCHERS:
        is_patched = getattr(sys.modules.get(module), function, None)
        for patched in _PATCHED:
            if is_patched is not None and is_patched(patched):
                raise BassWebRtcError(
                    f"{name} has patched the module {patched}; expected the threads and sockets of the system: run "
                    f"bass-webrtc in another process that does not patch, for example with subprocess"
                )


def reserve_standard_descriptors() -> None:
    """Open the null device as 0, 1 and 2 where the program has closed them. Not on Windows.

    A socket would get the number otherwise, and a peer whatever the program, BASS or ALSA prints. Programs that are
    started do not inherit it.
    """
    while sys.platform != "win32":
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > _STANDARD_ERROR:
            os.close(descriptor)
            return


# ---------------------------------------------------------------------- fork

_PARENTS = (
    "it was started in the parent process, and a forked child has none of its threads; create a new one in the child"
)
_forks = 0
"""How many forks lie between this process and the one that imported this module."""
_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
"""Those that no loop watches. One that is closed has no descriptor."""


def fork_count() -> int:
    """Return a number that is another one in a forked child."""
    return _forks


def parents_error() -> ClosedError:
    """Return the error of a call to something that the parent process has started."""
    return ClosedError(_PARENTS)


class ProcessLock:
    """A lock that a forked child cannot take: there, the thread that releases it may not exist.

    Raises:
        ClosedError: The calling process is a child of the one that made the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forks = _forks

    def __enter__(self) -> None:
        if self._forks != _forks:
            raise parents_error()
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def keep_from_children(sock: socket.socket) -> None:
    """Release this socket in children that the program forks. The loop thread releases those that its loop watches."""
    _sockets.add(sock)


def release(descriptors: Iterable[int]) -> None:
    """Give up descriptors in a forked child, so that ports and connections close when the parent closes them.

    Each becomes one of the null device: an object that closes its number later closes nothing of the child's.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        with contextlib.suppress(OSError):  # It is closed.
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def after_fork_in_child(function: Callable[[], None]) -> None:
    """Call a function in each child that Python forks, before anything else runs there. Not on Windows."""
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=function)


@after_fork_in_child
def _count_fork() -> None:
    global _forks
    _forks += 1
    release(sock.fileno() for sock in tuple(_sockets))
    _sockets.clear()
