"""Signs of injections, each a pattern of folded text with spaces that are one each."""

from __future__ import annotations

import re
from typing import NamedTuple


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


def _near(words: str, most: int = 40) -> str:
    """One of ``words`` within so many characters of a sentence; the first that is there stands, so that no text makes
    the search try all pairs of them."""
    return rf"(?> [^.!?\n]{{0,{most}}}? \b(?:{words}) )"


_SECRETS = (
    r"(?:passwords?|api[ _-]?keys?|tokens?|secrets?|credentials?|conversation|chat\ history|system\ prompt|inbox|"
    r"private\ keys?|environment\ variables|\.env|contacts)"
)
_LIMITS = r"(?:restrictions|limitations|filters|censorship|safety\ (?:rules|guidelines)|content\ polic)"
SIGNS = (
    _sign(
        "OVERRIDE",
        0.75,
        "instruc prompt directive guideline rule command constraint polic anweisung instruktion regel vorgabe consigne "
        "règle órdenes reglas istruzioni regole",
        rf"""(?<!not\ )(?<!n't\ )\b(?: (?:ignore|disregard|forget|overlook|bypass|override)\b
        {_near("(?:previous|prior|above|earlier|preceding|all|any|your|system|original)")}
        {_near("(?:instructions?|prompts?|directives?|guidelines|rules|commands?|constraints|polic(?:y|ies))")}
        | (?:ignorier|vergiss(?!\ nicht)|missacht)\w*\b {_near("(?:vorherig|obig|bisherig|alle|deine)")}
        {_near("(?:anweisung|instruktion|regel|vorgabe)")}
        | (?:ignore[zr]?|oublie[zr]?)\b {_near("(?:précédente?s?|ci-dessus|toutes|tes|vos)")}
        {_near("(?:instructions|consignes|règles)")}
        | (?:ignore[zr]?|oublie[zr]?)\b {_near("(?:instructions|consignes|règles)")} {_near("précédentes")}
        | (?:ignora|olvida|omite)\w*\b {_near("(?:instrucciones|órdenes|reglas|istruzioni|regole)")}
        {_near("(?:anteriores|previas|precedenti)")} )""",
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
        | (?:without|free\ (?:of|from)|no\ longer\ bound\ by|ignoring)\b {_near(_LIMITS)}
        | (?:no|without)\ (?:ethical|moral|safety)\ (?:rules|guidelines|constraints|limits)
        | unrestricted\ (?:ai|model|assistant) | jailbroken )""",
    ),
    _sign(
        "REVEAL",
        0.55,
        "prompt instruc message rules key",
        r"""\b(?:reveal|print|show|repeat|output|leak|disclose|display|dump|expose)\b
        (?> [^.!?\n]{0,40}? (?:\b(?:your|the)\ (?:(?:full|entire|exact|hidden|secret|initial|original|own|internal)\ )*
        (?:system\ (?:prompt|message)|(?:hidden|initial|original|internal|secret)\ (?:instructions|prompt))
        | \byour\ (?:instructions|prompt|rules)\b | \b(?:api|secret)\ keys?\b ) )""",
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
        rf"""\b(?:send|forward|post|upload|e-?mail|exfiltrate|transmit|submit|append|leak)\b
        {_near(_SECRETS, 60)} (?> [^!?\n]{{0,60}}? (?:\bto\b|\bat\b|\bvia\b|=) )
        \s* \S{{0,40}}? (?:https?://|\w@\w|\battacker)""",
    ),
    _sign("IMAGE_LEAK", 0.5, "](http", r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,200}\?[^)\s]{0,100}=(?:\{|<|%7b|\[|$)"),
    _sign(
        "FORGED_FRAME",
        0.5,
        "< [ ## ---",
        r"""(?: <\|?(?:im_start|im_end|system|endoftext|start_header_id)\|?> | \[/?inst\] | <</?sys>>
        | </?(?:system|system_prompt|instructions?|tool_result|function_results|user_query|assistant)>
        | ^\#{2,6}\ ?(?:system|instructions?|admin)\b | \[(?:system|admin|developer)(?:\ \w+)?\]\s*:?
        | (?<!-)-{3,40}\s{0,3}(?:end\ of|begin)\ (?:document|data|context|system|user|instructions) )""",
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
        0.65,
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
