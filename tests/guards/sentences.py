"""The labelled sentences of ``sentences.txt``: made up, in five languages and as code; half of them are traps."""

import re
from pathlib import Path
from typing import NamedTuple

from llmedge.guards.interfaces import Find

_MARK = re.compile("⟦([A-Z]+)\\|(.*?)⟧", re.DOTALL)


class Sentence(NamedTuple):
    language: str
    text: str
    finds: list[Find]


def sentences() -> list[Sentence]:
    found = []
    for line in Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            language, _, marked = line.partition("\t")
            found.append(sentence(language, marked.replace("·", "").replace("\\n", "\n")))
    return found


def sentence(language: str, marked: str) -> Sentence:
    text, finds, done = "", [], 0
    for mark in _MARK.finditer(marked):
        text += marked[done : mark.start()]
        finds.append(Find(len(text), len(text) + len(mark[2]), mark[1]))
        text += mark[2]
        done = mark.end()
    return Sentence(language, text + marked[done:], finds)
