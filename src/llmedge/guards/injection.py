"""A score for texts that try to have a model follow somebody else than whom it should: a hint, not a wall.

Each of :data:`SIGNS` is evidence of some weight; independent ones add up (a noisy OR), so that no single phrase, which
people quote, translate and ask about, reaches the threshold. Some count only where text comes from outside, such as in
the result of a tool, which has no business to address the model (Greshake et al., "Not what you've signed up for",
2023; OWASP LLM01). Who knows the signs writes around them: paraphrases, other languages, pictures and texts in pieces
are not seen. What helps is to limit what tools may do (``tools``), and not to act on what a page says.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import attrs
from zope.interface import implementer

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import ON, Guardrail
from llmedge.guards.interfaces import GuardDeps, GuardType, IGuardType, Judgement, Material
from llmedge.guards.turns import in_turns

OUTSIDE = ("tool_results", "tools")
"""Where text is of neither the operator nor the user."""
EACH = 1
"""Windows looked at in one turn of the reactor."""


class Sign(NamedTuple):
    """Something that injections have.

    :ivar weight: how likely a text is one where this is all there is.
    :ivar words: without one of them the pattern matches nothing; they are looked for first.
    :ivar outside: it counts only in texts from outside.
    """

    kind: str
    weight: float
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    outside: bool = False


def _sign(kind: str, weight: float, words: str, pattern: str, outside: bool = False) -> Sign:
    return Sign(kind, weight, tuple(words.split()), re.compile(pattern, re.VERBOSE | re.MULTILINE), outside)


_NEAR = r"[^.!?\n]{0,40}?"
SIGNS = (
    _sign(
        "OVERRIDE",
        0.75,
        "instruc prompt directive guideline rule command constraint polic anweisung instruktion regel vorgabe consigne "
        "règle órdenes reglas istruzioni regole",
        rf"""(?<!not\ )(?<!n't\ )\b(?: (?:ignore|disregard|forget|overlook|bypass|override)\b {_NEAR}
        \b(?:previous|prior|above|earlier|preceding|all|any|your|system|original)\b {_NEAR}
        \b(?:instructions?|prompts?|directives?|guidelines|rules|commands?|constraints|polic(?:y|ies))
        | (?:ignorier|vergiss(?!\ nicht)|missacht)\w*\b {_NEAR} \b(?:vorherig|obig|bisherig|alle|deine)\w*\b {_NEAR}
        \b(?:anweisung|instruktion|regel|vorgabe)
        | (?:ignore[zr]?|oublie[zr]?)\b {_NEAR} \b(?:précédente?s?|ci-dessus|toutes|tes|vos)\b {_NEAR}
        \b(?:instructions|consignes|règles)
        | (?:ignore[zr]?|oublie[zr]?)\b {_NEAR} \b(?:instructions|consignes|règles)\b {_NEAR} \bprécédentes
        | (?:ignora|olvida|omite)\w*\b {_NEAR} \b(?:instrucciones|órdenes|reglas|istruzioni|regole)\b {_NEAR}
        \b(?:anteriores|previas|precedenti) )""",
    ),
    _sign(
        "NEW_ORDERS",
        0.45,
        "your the instruc directive prompt now henceforth comply obey follow instead jetzt nun aufgabe",
        r"""\b(?: (?:your|the)\ (?:new|real|actual|only|updated)\ (?:instructions?|task|goal|objective|purpose|role)\b
        | new\ (?:system\ )?(?:instructions?|directives?|prompt)\s*:
        | (?:from\ now\ on|henceforth),?\ you\ (?:are|will|must|should|shall|can)
        | you\ (?:must|will|shall)\ (?:now\ )?(?:comply|obey|follow\ these)
        | instead,?\ (?:you\ (?:must|should|will)|please)\ (?:do|output|reply|respond|send|execute|run|call)
        | (?:ab\ jetzt|von\ nun\ an)\ (?:bist|wirst|musst)\ du
        | deine\ neue\ (?:aufgabe|anweisung) )""",
    ),
    _sign(
        "UNBOUND",
        0.6,
        "anything dan mode restriction limitation filter censor safety polic ethical moral jailbroken",
        rf"""\b(?: do\ anything\ now | (?:you\ are|act\ as|become)\ (?:now\ )?dan\b
        | (?:developer|god|admin|debug|jailbreak|sudo)\ mode\ (?:is\ )?(?:now\ )?(?:enabled|activated|on\b|engaged)
        | (?:without|free\ (?:of|from)|no\ longer\ bound\ by|ignoring)\ {_NEAR}
        (?:restrictions|limitations|filters|censorship|safety\ (?:rules|guidelines)|content\ polic)
        | (?:no|without)\ (?:ethical|moral|safety)\ (?:rules|guidelines|constraints|limits)
        | unrestricted\ (?:ai|model|assistant) | jailbroken )""",
    ),
    _sign(
        "REVEAL",
        0.55,
        "prompt instruc message rules key",
        rf"""\b(?:reveal|print|show|repeat|output|leak|disclose|display|dump|expose)\b {_NEAR}
        (?:\b(?:your|the)\ (?:(?:full|entire|exact|hidden|secret|initial|original|own|internal)\ )*
        (?:system\ (?:prompt|message)|(?:hidden|initial|original|internal|secret)\ (?:instructions|prompt))
        | \byour\ (?:instructions|prompt|rules)\b | \b(?:api|secret)\ keys?\b )""",
    ),
    _sign(
        "CONCEAL",
        0.6,
        "user human anyone anybody owner operator from",
        r"""\b(?: (?:do\ not|don't|never|without)\ (?:\w+\ )?(?:tell|telling|inform|informing|mention|mentioning|reveal|
        revealing|notify|notifying|alert|alerting|show|showing|disclose|disclosing)\ (?:\w+\ )?
        (?:this|it|that|anything)?\s?(?:to\ )?(?:the\ )?(?:users?|humans?|anyone|anybody|owner|operator)
        | (?:keep\ this|this\ (?:must|should)\ (?:stay|remain))\ (?:a\ )?(?:secret|hidden|confidential)\ from )""",
    ),
    _sign(
        "EXFILTRATE",
        0.6,
        "http @ attacker",
        r"""\b(?:send|forward|post|upload|e-?mail|exfiltrate|transmit|submit|append|leak)\b [^.!?\n]{0,60}?
        \b(?:passwords?|api[ _-]?keys?|tokens?|secrets?|credentials?|conversation|chat\ history|system\ prompt|inbox|
        private\ keys?|environment\ variables|\.env|contacts)\b [^!?\n]{0,60}?
        (?:\bto\b|\bat\b|\bvia\b|=) \s* \S{0,40}? (?:https?://|\w@\w|\battacker)""",
    ),
    _sign("IMAGE_LEAK", 0.5, "](http", r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,200}\?[^)\s]{0,100}=(?:\{|<|%7b|\[|$)"),
    _sign(
        "FORGED_FRAME",
        0.5,
        "< [ ## ---",
        r"""(?: <\|?(?:im_start|im_end|system|endoftext|start_header_id)\|?> | \[/?INST\] | <</?sys>>
        | </?(?:system|system_prompt|instructions?|tool_result|function_results|user_query|assistant)>
        | ^\#{2,}\s*(?:system|instructions?|admin)\b | \[(?:system|admin|developer)(?:\ \w+)?\]\s*:?
        | -{3,}\s*(?:end\ of|begin)\ (?:document|data|context|system|user|instructions) )""",
    ),
    _sign(
        "AUTHORITY",
        0.45,
        "override directive command authorized approved official urgent sent",
        r"""\b(?: (?:system|admin(?:istrator)?|security|emergency)\ (?:override|directive|command)
        | this\ is\ (?:an?\ )?(?:authorized|urgent\ system|official)\ (?:message|instruction|request|override)
        | (?:authorized|approved|sent)\ by\ (?:openai|anthropic|google|the\ (?:developers?|admin\w*|system)) )""",
    ),
    _sign(
        "ADDRESSED",
        0.55,
        "ai llm assistant model agent chatbot copilot claude gpt gemini automated",
        r"""(?: \b(?:attention|dear|hey|note\ (?:to|for)|message\ (?:to|for)|instructions?\ (?:to|for)|
        important\ (?:for|message\ (?:to|for)))[:,]?\ (?:any\ |all\ |the\ |an\ |this\ )?
        (?:ai|llms?|(?:ai\ |language\ )?(?:assistants?|models?|agents?)|chatbots?|copilot|claude|chatgpt|gpt|gemini)\b
        | \bif\ you\ are\ (?:an?\ )?(?:ai|llm|language\ model|assistant|automated|agent)\b
        | \b(?:ai|llm)\ (?:assistants?|agents?|models?)\ (?:must|should|shall|are\ (?:required|instructed)) )""",
        outside=True,
    ),
    _sign(
        "TOOL_ORDER",
        0.4,
        "tool function command api execute run delete transfer wire purchase mail forward",
        r"""\b(?:call|invoke|use|run|execute|trigger)\ (?:the\ |your\ )?[`'"]?\w{2,40}[`'"]?
        \ (?:tool|function|command|api)\b
        | \b(?:please|must|now|immediately)\ (?:execute|run|delete|transfer|wire|purchase|email|forward)\b""",
        outside=True,
    ),
)
_HIDDEN = re.compile("[\U000e0000-\U000e007f]{10,}")
"""Letters of the tag block, which nobody sees and models read; flags of regions have seven at most."""
_UNSEEN = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_MANY_UNSEEN = 16


@attrs.frozen
class InjectionGuard(Guardrail):
    """What only the type ``injection`` has."""

    on: tuple[str, ...] = option(ON, ("tool_results",), "Where, as with all guardrails: texts from outside first.")
    threshold: float = option(kinds.number(0, 1), 0.9, "From which score on it is one.")


def score(said: str, outside: bool) -> tuple[float, list[str]]:
    """How likely a text is an injection, from 0 to 1, and the kinds of signs it has.

    :param outside: it is of neither the operator nor the user.
    """
    kinds_found, innocent = [], 1.0
    if not said.isascii():
        if _HIDDEN.search(said):
            kinds_found.append("HIDDEN_TEXT")
            innocent *= 0.04
        seen = said.translate(_UNSEEN)
        if len(said) - len(seen) >= _MANY_UNSEEN:
            kinds_found.append("UNSEEN_CHARACTERS")
            innocent *= 0.7
        said = unicodedata.normalize("NFKC", seen)
    said = said.casefold()
    for sign in SIGNS:
        if sign.outside and not outside:
            continue
        if any(word in said for word in sign.words) and sign.pattern.search(said) is not None:
            kinds_found.append(sign.kind)
            innocent *= 1.0 - sign.weight
    return 1.0 - innocent, kinds_found


class Injection:
    """Scores each text by itself; the highest counts."""

    def __init__(self, settings: InjectionGuard, clock: Any) -> None:
        self._threshold, self._clock = settings.threshold, clock

    async def check(self, material: Material) -> Judgement:
        places, highest, signs = material.places, 0.0, []
        async for number, _, window in in_turns(self._clock, EACH, [place.text for place in places]):
            found, kinds_found = score(window, places[number].where in OUTSIDE)
            if found > highest:
                highest, signs = found, kinds_found
        finds = dict.fromkeys(signs, 1)
        if highest >= self._threshold:
            return Judgement("block", "injection", score=round(highest, 3), finds=finds)
        return Judgement(score=round(highest, 3))


@implementer(IGuardType)
class _Type(GuardType):
    name = "injection"
    settings = InjectionGuard

    def make(self, settings: InjectionGuard, deps: GuardDeps) -> Injection:
        return Injection(settings, deps.reactor)


TYPE = _Type()
