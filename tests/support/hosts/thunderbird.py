"""Debian's Thunderbird without a screen, driven by scripts of ours that run inside it as its own do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.hosts.debian import find
from tests.support.hosts.processes import DEADLINE, Child, free_port

#: Nothing but this machine is asked: whatever name is looked up, it is here.
_SETTINGS = """\
user_pref("app.update.enabled", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("marionette.port", {port});
user_pref("network.dns.forceResolve", "127.0.0.1");
user_pref("network.proxy.type", 0);
"""


class Thunderbird:
    """One that runs, over its protocol for tests: Marionette, which is JSON with its length before it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("rb")
        self._read()
        self._ask("WebDriver:NewSession", capabilities={})
        self._ask("Marionette:SetContext", value="chrome")

    def run(self, script: str, *arguments: object) -> Any:
        """Return what the body of an asynchronous function returns, or ``None`` once Thunderbird asks for anything.

        It is given up after half a minute.

        :param arguments: it finds them in ``args``.
        """
        return self._ask(
            "WebDriver:ExecuteScript",
            script=f"return (async (...args) => {{ {script} }})(...arguments);",
            args=arguments,
            sandbox="system",
        )["value"]

    def dismiss_prompt(self) -> str:
        """Close the window in which Thunderbird asks for something, and return what it says there."""
        text: str = self._ask("WebDriver:GetAlertText")["value"]
        self._ask("WebDriver:DismissAlert")
        return text

    def _ask(self, name: str, **parameters: object) -> Any:
        question = json.dumps([0, 1, name, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(question), question))
        _, _, error, answer = self._read()
        assert error is None, error
        return answer

    def _read(self) -> Any:
        length = b""
        while (octet := self._answers.read(1)) != b":":
            assert octet, "Thunderbird has closed the connection"
            length += octet
        return json.loads(self._answers.read(int(length)))


@contextmanager
def thunderbird(folder: Path) -> Iterator[Thunderbird]:
    """Run it with a new profile, *folder*, until the end of the ``with``."""
    program = find("thunderbird", "usr/lib/thunderbird/thunderbird-bin")
    port = free_port()
    folder.mkdir()
    (folder / "user.js").write_text(_SETTINGS.format(port=port))
    options = ["--headless", "--marionette", "--remote-allow-system-access", "--no-remote"]
    env = {**program.env, "HOME": str(folder)}
    command: list[str | Path] = [program.executable, *options, "--profile", folder]
    with Child("thunderbird", command, env=env, cwd=folder) as process:
        process.wait_for_line(rf"Marionette\s+INFO\s+Listening on port {port}")
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            yield Thunderbird(connection)
