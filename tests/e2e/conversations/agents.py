"""Coding agents as programs: how each is told where the gateway is, asked, and asked again in the same conversation."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import attrs
from twisted.internet.utils import getProcessOutputAndValue

from tests.e2e.conversations import page
from tests.e2e.conversations.pictures import CAT
from tests.e2e.conversations.vendors import DIALECTS
from tests.e2e.service import CANARY_KEY
from tests.e2e.tools import node_program
from tests.folders import new_folder

LIMIT = "240"
"""Seconds after which a client is taken to hang."""


@attrs.define
class Agent(ABC):
    """One agent, at home in a new folder, where it keeps its settings and conversations.

    :ivar name: as ``docs/clients.rst`` calls it, whose lines it gets; ``way``: where it is used in more than one.
    :ivar dialect: of the gateway's dialects, the one it speaks.
    :ivar family: how the names of its models begin; ``vendors``: those it is tried with.
    """

    url: str
    model: str
    home: Path = attrs.field(factory=new_folder)
    key: str = CANARY_KEY
    name = ""
    way = ""
    dialect = ""
    program = ""
    family = "m"
    vendors: ClassVar[Collection[str]] = DIALECTS

    @property
    def work(self) -> Path:
        """The folder it works in, with what the errands are about."""
        return self.home / "work"

    def note(self) -> str:
        """What stands in the file that the second errand is to edit."""
        return (self.work / "note.txt").read_text()

    def settle(self) -> None:
        """Write its settings, as its page shows them, and what it is asked about."""
        self.work.mkdir(exist_ok=True)
        (self.work / "note.txt").write_text("the note says forty-two\n")
        (self.work / "cat.png").write_bytes(CAT)
        for path, text in page.files(self.name, self.url, self.model, self.key).items():
            file = self.home / path.removeprefix("~/") if path.startswith("~/") else self.work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    @property
    def environ(self) -> dict[str, str]:
        return page.variables(self.name, self.url, self.model, self.key)

    @abstractmethod
    def arguments(self, prompt: str, again: bool) -> list[str]: ...

    @abstractmethod
    def said(self, out: str) -> str:
        """What it says at the end, of what it printed."""

    async def ask(self, errand: int) -> tuple[str, str]:
        """Have it do the errand; every one but the first goes on with the conversation.

        :returns: what it said, and what is wrong with how it ended.
        """
        prompt = f"Errand {errand}: folder {self.work}"
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home)} | self.environ
        arguments = ["-k", "5", LIMIT, node_program(self.program), *self.arguments(prompt, errand > 1)]
        out, err, code = await getProcessOutputAndValue(
            "timeout", arguments, env=environ, path=str(self.work), stdinBytes=b""
        )
        if code:
            return "", f"{self.name} ended with {code}: {out.decode()[-3000:]}\n{err.decode()[-3000:]}"
        try:
            return self.said(out.decode()), ""
        except (LookupError, ValueError) as error:
            return "", f"{self.name} said what cannot be read ({error!r}): {out.decode()[-3000:]}"


class ClaudeCode(Agent):
    name = "Claude Code"
    dialect = "anthropic"
    program = "claude"

    def arguments(self, prompt: str, again: bool) -> list[str]:
        more = ["--continue"] if again else []
        return ["-p", prompt, *more, "--output-format", "json", "--allowedTools", "Read,Edit,Bash"]

    def said(self, out: str) -> str:
        return str(json.loads(out)["result"])


class Codex(Agent):
    name = "Codex"
    dialect = "responses"
    program = "codex"

    def arguments(self, prompt: str, again: bool) -> list[str]:
        more = ["resume", "--last"] if again else []
        return ["exec", *more, "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt]

    def said(self, out: str) -> str:
        items = [json.loads(line).get("item", {}) for line in out.splitlines() if line.startswith("{")]
        return [str(item["text"]) for item in items if item.get("type") == "agent_message"][-1]


class CodexKnown(Codex):
    """Under the name of a model that it knows, it has other tools: ``apply_patch``, whose input is free text."""

    way = "Codex, gpt-5.5"
    family = "gpt-5.5"


class CodexPrograms(Codex):
    """Newer models write programs, and get the tool for it within their input. aimock cannot call it in Responses."""

    way = "Codex, gpt-5.6"
    family = "gpt-5.6-sol"
    vendors = ("chat", "anthropic", "gemini")


class GeminiCli(Agent):
    name = "Gemini CLI"
    dialect = "gemini"
    program = "gemini"

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | {"GEMINI_CLI_TRUST_WORKSPACE": "true"}  # what a person would be asked

    def arguments(self, prompt: str, again: bool) -> list[str]:
        more = ["--resume", "latest"] if again else []
        return ["--yolo", "--output-format", "json", *more, "-p", prompt]

    def said(self, out: str) -> str:
        return str(json.loads(out[out.index("{") :])["response"])


class OpenCode(Agent):
    name = "opencode"
    dialect = "chat"
    program = "opencode"

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}

    def arguments(self, prompt: str, again: bool) -> list[str]:
        more = ["--continue"] if again else []
        return ["run", *more, "--format", "json", prompt]

    def said(self, out: str) -> str:
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return [str(event["part"]["text"]) for event in events if event["type"] == "text"][-1]


class OpenCodeAnthropic(OpenCode):
    """With the AI SDK's provider for Anthropic's dialect."""

    way = "opencode, anthropic"
    dialect = "anthropic"

    def settle(self) -> None:
        super().settle()
        file = self.work / "opencode.json"
        file.write_text(file.read_text().replace("@ai-sdk/openai-compatible", "@ai-sdk/anthropic"))


AGENTS: tuple[type[Agent], ...] = (ClaudeCode, Codex, GeminiCli)
MORE: tuple[type[Agent], ...] = (CodexKnown, CodexPrograms, OpenCode, OpenCodeAnthropic)
