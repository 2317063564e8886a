"""A headless Chromium that tells what a page shows, asks for and complains of.

It is spoken to in its own protocol through two pipes, which needs no package.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Set where a skipped test would hide that Chromium is missing.
REQUIRED = "TSN_REQUIRE_CHROMIUM"
# Phones have no scroll bars that take room.
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--remote-debugging-pipe"),
)


def find_chromium():
    """Returns the path of Chromium; without it the test is skipped."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get(REQUIRED):
        raise FileNotFoundError(f"Chromium is missing, and {REQUIRED} is set.")
    if found is None:
        raise unittest.SkipTest("Chromium is not installed.")
    return found


class Browser:
    """One window.

    Attributes:
        requests: Addresses that the page asked for, beside its own.
        messages: What the console shows, errors of scripts included.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs, self._write = os.pipe()
        self._read, back = os.pipe()

        def as_three_and_four():
            # Both ends may have one of these numbers already.
            one, two = os.dup(theirs), os.dup(back)
            os.dup2(one, 3)
            os.dup2(two, 4)

        self._process = subprocess.Popen(
            [
                find_chromium(),
                *OPTIONS,
                f"--user-data-dir={self._folder.name}",
                "about:blank",
            ],
            preexec_fn=as_three_and_four,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(back)
        self._number, self._session, self._rest = 0, None, b""
        self._events = []
        self.requests, self.messages = [], []
        self._attach()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(30)
        os.close(self._write)
        os.close(self._read)
        self._folder.cleanup()

    def open(self, path, width, height=800, dark=False):
        """Opens a file in a window of a width, in a theme."""
        self.requests.clear()
        self.messages.clear()
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)
        address = pathlib.Path(path).resolve().as_uri()
        self._address = address
        answer = self._call("Page.navigate", url=address)
        if "errorText" in answer:
            raise FileNotFoundError(f"'{path}': {answer['errorText']}")
        while not any(
            e["method"] == "Page.loadEventFired" for e in self._events
        ):
            self._events.append(self._next())
        self._events.clear()

    def evaluate(self, expression):
        """Returns the value of an expression in JavaScript."""
        result = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def screenshot(self, path):
        """Writes a picture of the whole page."""
        picture = self._call(
            "Page.captureScreenshot", captureBeyondViewport=True
        )
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))

    def _attach(self):
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self._session = self._call(
            "Target.attachToTarget", targetId=page["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._read, 2**16)
            if not part:
                raise RuntimeError("Chromium has ended.")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        self._note(message.get("method"), message.get("params"))
        return message

    def _note(self, method, params):
        if method == "Network.requestWillBeSent":
            address = params["request"]["url"]
            if address != self._address and not address.startswith("data:"):
                self.requests.append(address)
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.messages.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
