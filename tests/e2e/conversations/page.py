"""The lines that ``docs/clients.rst`` says a client needs, for use as they stand there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.e2e.service import ROOT

CLIENTS = (Path(ROOT) / "docs" / "clients.rst").read_text()


def section(client: str) -> str:
    """What the page says under the client's name."""
    found = re.search(rf"(?ms)^{re.escape(client)}\n-+\n(.*?)(?=^[^\n]+\n---|\Z)", CLIENTS)
    assert found is not None, client
    return found[1]


def filled(text: str, url: str, model: str, key: str) -> str:
    """A line of the page for this gateway, model and key."""
    text = text.replace("http://127.0.0.1:8080", url).replace("$LLMEDGE_KEY", key)
    return re.sub(r"\bsmart\b", model, text)


def variables(client: str, url: str, model: str, key: str) -> dict[str, str]:
    """What the page has exported, and the key that it takes to be there."""
    exported = dict(re.findall(r"^    export (\w+)=(.*)$", section(client), re.MULTILINE))
    return {"LLMEDGE_KEY": key} | {name: filled(value, url, model, key) for name, value in exported.items()}


def files(client: str, url: str, model: str, key: str) -> dict[str, str]:
    """The files that the page shows, by path; ``~/`` is the home folder."""
    shown = re.findall(r"    :caption: (\S+)\n\n((?: {4}.*\n|\n)+)", section(client))
    return {path: filled(textwrap.dedent(text), url, model, key) for path, text in shown}
