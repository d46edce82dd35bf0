"""Real browsers for tests: Debian's Chromium through Playwright and Firefox through WebDriver BiDi.

Tabs of both have the same methods, so a test can run in both engines. Synchronous, like the product's public API; do
not use them inside a running asyncio loop.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from .netns import Host

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)

FIREFOX_PREFERENCES: dict[str, bool | int | str] = {
    "media.autoplay.default": 0,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    # No network traffic of its own and no pop-ups.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_DBFS = 1000.0, -20.0
"""What its fake microphone hears, on one channel."""


class Tab(Protocol):
    """One page of a browser."""

    def evaluate(self, expression: str) -> Any:
        """Evaluate a JavaScript expression; awaits promises. Raises ``RuntimeError`` for exceptions."""

    def screenshot(self, path: Path) -> None:
        """Write a screenshot as PNG."""

    def close(self) -> None:
        """Close the page without running its unload handlers."""


class Browser(Protocol):
    """A running browser."""

    def open(self, url: str) -> Tab:
        """Open the page in a new tab."""

    def close(self) -> None: ...

    def __enter__(self) -> Browser: ...

    def __exit__(self, *_: object) -> None: ...


def missing_chromium() -> str | None:
    """Reason to skip tests that need Chromium, or None."""
    if shutil.which("chromium") is None:
        return "needs Debian's chromium"
    return None if importlib.util.find_spec("playwright") else "needs playwright from PyPI"


def missing_firefox() -> str | None:
    """Reason to skip tests that need Firefox, or None."""
    if shutil.which("firefox-esr") is None:
        return "needs Debian's firefox-esr"
    return None if importlib.util.find_spec("websockets") else "needs websockets from PyPI"


class Chromium:
    """Headless Chromium. ``microphone`` is a WAV file for its fake microphone, ``host`` the network host to run on."""

    def __init__(
        self, microphone: Path | None = None, extra_flags: tuple[str, ...] = (), host: Host | None = None
    ) -> None:
        flags = [*CHROMIUM_FLAGS, *extra_flags]
        if microphone is not None:
            flags.append(f"--use-file-for-fake-audio-capture={microphone}")
        with ExitStack() as stack:
            playwright = _Playwright.acquire()
            stack.callback(_Playwright.release)
            chromium = shutil.which("chromium")
            if host is not None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bw-chromium-"))
                chromium = _run_on(host, chromium, Path(folder, "chromium"))
            self._browser = playwright.chromium.launch(executable_path=chromium, args=flags, headless=True)
            stack.callback(self._browser.close)
            self._stack = stack.pop_all()

    def open(self, url: str) -> ChromiumTab:
        page = self._browser.new_page()
        page.goto(url)
        return ChromiumTab(page)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run_on(host: Host, program: str | None, script: Path) -> str:
    """Playwright talks to the browser over inherited pipes, so only the browser needs to run on the other host."""
    script.write_text(f'#!/bin/sh\nexec ip netns exec {host.name} {program} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


class _Playwright:
    """Playwright's driver. A thread can have only one, so all browsers share it; the last one stops it."""

    _driver: Any = None
    _users = 0

    @classmethod
    def acquire(cls) -> Any:
        from playwright.sync_api import sync_playwright

        if cls._users == 0:
            cls._driver = sync_playwright().start()
        cls._users += 1
        return cls._driver

    @classmethod
    def release(cls) -> None:
        cls._users -= 1
        if cls._users == 0:
            cls._driver.stop()


class ChromiumTab:
    """A Chromium tab; ``page`` is the Playwright page, for everything beyond ``Tab``."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def evaluate(self, expression: str) -> Any:
        from playwright.sync_api import Error

        try:
            return json.loads(self.page.evaluate(f"(async () => JSON.stringify((await ({expression})) ?? null))()"))
        except Error as error:
            raise RuntimeError(error.message) from error

    def screenshot(self, path: Path) -> None:
        self.page.screenshot(path=str(path))

    def close(self) -> None:
        self.page.close()


class Firefox:
    """Headless Firefox controlled by WebDriver BiDi, optionally on its own network host.

    Firefox never pairs loopback candidates, and without a microphone it offers only the address of its default route or
    of the interface that fetched the page: server and page must use an address of the host's link. ``trusted_address``
    makes that address a secure context. Web Audio needs a sound device: ``pulse_server`` names a PulseAudio server.
    """

    def __init__(self, host: Host | None = None, *, trusted_address: str = "", pulse_server: str = "") -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="bw-firefox-", ignore_cleanup_errors=True)
        settings = {**FIREFOX_PREFERENCES, "dom.securecontext.allowlist": trusted_address}
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in settings.items())
        Path(self._profile.name, "user.js").write_text("".join(lines), encoding="utf-8")
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", self._profile.name]
        command += ["--remote-debugging-port", "0"]
        start = subprocess.Popen if host is None else host.popen
        # Set HOME: the tests may run as root with another user's home directory.
        environment = {"HOME": self._profile.name, "PATH": os.environ["PATH"], "PULSE_SERVER": pulse_server}
        self._process: subprocess.Popen[str] = start(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, encoding="utf-8", env=environment
        )
        try:
            self._bidi = _BiDi(self._listening_port(), host)
            self._bidi.command("session.new", capabilities={})
        except BaseException:
            self._end_process()
            raise

    def open(self, url: str) -> FirefoxTab:
        context = self._bidi.command("browsingContext.create", type="tab")["context"]
        self._bidi.command("browsingContext.navigate", context=context, url=url, wait="complete")
        return FirefoxTab(self._bidi, context)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._bidi.command("browser.close")
        self._bidi.close()
        self._end_process()

    def __enter__(self) -> Firefox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listening_port(self, timeout_s: float = 60.0) -> int:
        """Read standard error up to the line with the port, then drain it in the background."""
        deadline = threading.Timer(timeout_s, self._process.kill)
        deadline.start()
        errors = self._process.stderr
        assert errors is not None
        for line in errors:
            found = re.search(r"WebDriver BiDi listening on ws://[^:]+:(\d+)", line)
            if found:
                deadline.cancel()
                threading.Thread(target=errors.read, daemon=True).start()
                return int(found[1])
        deadline.cancel()
        raise RuntimeError("Firefox ended or printed no BiDi port in time")

    def _end_process(self) -> None:
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()


class FirefoxTab:
    """A Firefox tab."""

    def __init__(self, bidi: _BiDi, context: str) -> None:
        self._bidi = bidi
        self._context = context

    def evaluate(self, expression: str) -> Any:
        answer = self._bidi.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({expression})) ?? null))()",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] != "success":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def screenshot(self, path: Path) -> None:
        import base64

        data = self._bidi.command("browsingContext.captureScreenshot", context=self._context)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        self._bidi.command("browsingContext.close", context=self._context)


class _BiDi:
    """WebDriver BiDi client (https://w3c.github.io/webdriver-bidi/); ignores events."""

    def __init__(self, port: int, host: Host | None) -> None:
        from websockets.sync.client import connect

        sock = None if host is None else host.connect("127.0.0.1", port)
        self._stack = ExitStack()
        url = f"ws://127.0.0.1:{port}/session"
        self._socket = self._stack.enter_context(connect(url, sock=sock, max_size=None, proxy=None))
        self._ids = itertools.count(1)

    def command(self, method: str, timeout_s: float = 60.0, **parameters: Any) -> Any:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + timeout_s
        while True:
            message = json.loads(self._socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            if message.get("id") != number:
                continue
            if message["type"] == "error":
                raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
            return message["result"]

    def close(self) -> None:
        self._stack.close()
