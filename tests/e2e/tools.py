"""Programs of others, run as they are: the clients and proxies that real callers have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import attrs
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

from tests.folders import new_folder

PACKAGES = {
    "caddy": "caddy",
    "curl": "curl",
    "h2load": "nghttp2-client",
    "haproxy": "haproxy",
    "nginx": "nginx-light",
    "jq": "jq",
    "nghttp": "nghttp2-client",
    "node": "nodejs",
    "openssl": "openssl",
    "promtool": "prometheus",
    "slowhttptest": "slowhttptest",
    "sslscan": "sslscan",
    "timeout": "coreutils",
    "tinyproxy": "tinyproxy-bin",
    "sslyze": "none; make test puts it into .venv/sslyze",
}
"""The Debian package of each program."""


def find(name: str) -> str:
    """The program's path; the test is skipped where it is not installed."""
    own = str(Path(__file__).parent.parent.parent / ".venv" / name / "bin")  # sslyze
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", own)))
    if path is None:
        raise SkipTest(f"{name} is not installed (Debian package {PACKAGES[name]})")
    return path


def node_module(path: str) -> str:
    """A file of an npm package; the test is skipped where ``make test`` could not install it."""
    file = Path(__file__).parent.parent.parent / ".venv" / "node" / "node_modules" / path
    if not file.exists():
        raise SkipTest(f"{path} is not in .venv/node: make test puts it there (Debian packages nodejs and npm)")
    return str(file)


def node_program(name: str) -> str:
    """A program of an npm package, also one that only ``make clients`` installs."""
    for folder in ("node", "more"):
        file = Path(__file__).parent.parent.parent / ".venv" / folder / "node_modules" / ".bin" / name
        if file.exists():
            return str(file)
    raise SkipTest(f"{name} is not in .venv: make test puts it there (Debian packages nodejs and npm)")


@attrs.frozen
class Output:
    """What a program wrote and returned."""

    out: str
    err: str
    code: int


async def run(name: str, *arguments: str, stdin: bytes = b"", folder: Path | None = None) -> Output:
    """Run the program to its end, in ``folder`` (or a new one) and an empty environment."""
    where = str(folder or new_folder())
    out, err, code = await getProcessOutputAndValue(find(name), arguments, env={}, path=where, stdinBytes=stdin)
    return Output(out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), code)
