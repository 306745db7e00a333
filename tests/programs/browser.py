"""A headless browser for pages that the harness writes, by the WebDriver protocol.

Needs Debian's `chromium` and `chromium-driver`; where they are missing the tests are skipped.
"""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
GIVE_UP = 60  # seconds for one answer of the driver


class Browser:
    """One window of a given width; `close` ends it."""

    def __init__(self, port, profile, binary):
        self._base = f"http://127.0.0.1:{port}/session"
        options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}  # fmt: skip
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/{made['sessionId']}"

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            self._base + path, None if body is None else json.dumps(body).encode(), method=method,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=GIVE_UP) as answer:
            return json.load(answer)["value"]

    def devtools(self, command, **parameters):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, page, *, width=1280, dark=False):
        """Show a page; what was logged before is forgotten."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=1000, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        self._call("POST", "/url", {"url": "about:blank"})
        self.console(), self.requests()
        self._call("POST", "/url", {"url": Path(page).resolve().as_uri()})

    def script(self, text):
        """What a piece of JavaScript returns."""
        return self._call("POST", "/execute/sync", {"script": text, "args": []})

    def wait(self, text):
        """What a promise becomes: `text` calls `done`."""
        script = f"const done = arguments[arguments.length - 1]; {text}"
        return self._call("POST", "/execute/async", {"script": script, "args": []})

    def press(self, key):
        actions = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self._call("POST", "/actions", {"actions": [keyboard]})

    def console(self):
        """Messages of the console since the last call."""
        return [one["message"] for one in self._call("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses that were asked for since the last call, the browser's own left out."""
        logged = self._call("POST", "/se/log", {"type": "performance"})
        said = [json.loads(one["message"])["message"] for one in logged]
        return [
            one["params"]["request"]["url"]
            for one in said
            if one["method"] == "Network.requestWillBeSent"
            and not one["params"]["request"]["url"].startswith(("chrome:", "data:"))
        ]

    def picture(self):
        """The whole page as a PNG."""
        height = self.script("return document.documentElement.scrollHeight")
        width = self.script("return innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def close(self):
        self._call("DELETE", "")


@contextlib.contextmanager
def browser():
    """A browser of one's own; skips the test where there is none."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no headless browser here: install chromium and chromium-driver")
    with (
        tempfile.TemporaryDirectory(prefix="browser-") as folder,
        subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "TMPDIR": folder},
        ) as process,
    ):  # fmt: skip
        try:
            said = (
                re.search(r"started successfully on port (\d+)", line) for line in process.stdout
            )
            port = next(found[1] for found in said if found)
            window = Browser(port, f"{folder}/profile", binary)
            try:
                yield window
            finally:
                window.close()
        finally:
            process.terminate()
