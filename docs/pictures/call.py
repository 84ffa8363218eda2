"""``python docs/pictures/call.py > docs/pictures/call.svg``: the way of a call, for the first page."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 366
PAPER, INK, LINE, GATE, VENDOR, FAILED = "#ffffff", "#1f2933", "#52616b", "#e6f0f8", "#eef5ea", "#c0392b"
CLIENTS = ("OpenAI SDK", "Anthropic SDK", "Google SDK", "agents, curl")
STEPS = (
    ("Who asks?", "keys, certificates", "401"),
    ("How much?", "rate, size, calls at once", "429"),
    ("How long?", "one deadline for all of it", "504"),
    ("Where to?", "targets, health, fallbacks", "404"),
    ("In which words?", "translated, or byte by byte", "400"),
)
VENDORS = (("OpenAI", "fails"), ("Anthropic", "answers"), ("Gemini, Bedrock, …", ""), ("a server of yours", ""))


def picture() -> str:
    """The SVG."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
            f'  font-size="13" fill="{INK}">',
            "<title>The way of a call: from a client through llmedge to a vendor, and back</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"',
            '  orient="auto">',
            f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{PAPER}"/>',
            *clients(),
            *gateway(),
            *vendors(),
            "</svg>",
            "",
        ]
    )


def clients() -> Iterator[str]:
    """On the left: who asks."""
    yield text(75, 30, "Your applications", weight="bold")
    for number, name in enumerate(CLIENTS):
        top = 48 + number * 56
        yield box(10, top, 130, 36, PAPER)
        yield text(75, top + 23, name)
        yield arrow(140, top + 18, 236, 60 + number * 50)
    for number, words in enumerate(("one base URL, one key,", "any model of any vendor")):
        yield text(75, 284 + number * 16, words, size=11)


def gateway() -> Iterator[str]:
    """In the middle: what is asked of a call, each question with the refusal that it may end in."""
    yield box(240, 10, 270, 300, GATE)
    yield text(375, 32, "llmedge", weight="bold")
    for number, (question, how, refusal) in enumerate(STEPS):
        top = 46 + number * 51
        yield box(254, top, 242, 40, PAPER)
        yield text(264, top + 17, question, anchor="start", weight="bold")
        yield text(264, top + 33, how, anchor="start", size=11)
        yield text(486, top + 25, refusal, anchor="end", colour=FAILED)
        if number:
            yield arrow(375, top - 11, 375, top - 1)
    yield arrow(375, 310, 375, 330)
    yield text(375, 348, "of each call: a log line, metrics, a trace, tokens and cost", size=12)


def vendors() -> Iterator[str]:
    """On the right: who is asked; the first one fails."""
    yield text(675, 30, "Vendors", weight="bold")
    for number, (name, what) in enumerate(VENDORS):
        top = 48 + number * 64
        yield box(600, top, 150, 40, VENDOR)
        yield text(675, top + 25, name)
        if what == "fails":
            yield arrow(496, 271, 598, top + 20, dashes="4 4")
            yield text(572, top + 40, "fails", anchor="end", colour=FAILED, size=11)
        elif what == "answers":
            yield arrow(496, 271, 598, top + 26)
            yield arrow(600, top + 8, 512, top + 8)
            yield text(675, top + 54, "the next one answers", size=11)
        else:
            yield arrow(496, 271, 598, top + 20, dashes="1 5")


def box(x: int, y: int, width: int, height: int, fill: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{LINE}"/>'


def text(
    x: int, y: int, words: str, anchor: str = "middle", size: int = 13, weight: str = "normal", colour: str = INK
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(words)}</text>'


def arrow(x: int, y: int, to_x: int, to_y: int, dashes: str = "") -> str:
    more = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="M{x} {y}L{to_x} {to_y}" stroke="{LINE}" fill="none" marker-end="url(#tip)"{more}/>'


if __name__ == "__main__":
    print(picture(), end="")
