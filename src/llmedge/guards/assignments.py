"""Secrets that only the words around them tell: ``password=…``, ``Das Passwort ist …``, ``postgres://user:…@host``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from llmedge.guards.cuts import CONTEXT, ENDS, WORD
from llmedge.guards.interfaces import Find

_PASSWORDS = (
    "passw|pwd|passphrase|passcode|kennwort|mot de passe|mdp|contrase|clave|senha|parola|hasło|haslo|wachtwoord|"
    "lösenord|salasana"
)
PASSWORDS = tuple(_PASSWORDS.split("|"))
TOKENS = ("secret", "token", "key", "credential", "authorization", "bearer")
WORDS = (*PASSWORDS, *TOKENS)
_IN_PASS = tuple(each for each in WORDS if "pass" in each)
_STEMS = ("pass", *(each for each in WORDS if each not in _IN_PASS))
"""What one of them is in, and the fewest that tell."""
_SECRET_KEY = re.compile(r"(?:api|access|private|account|auth|encryption|signing|master|license)[ _-]?\Z")
"""What stands before ``key`` where it is one to keep."""
_SIGN = r"(?:=>|:=|==?|:)"
_IS = r"(?:is|are|was|ist|lautet|war|est|es|era|è|é|jest|to)"
_REST = re.compile(
    rf"""(?P<name>[\w.-]{{0,24}}(?:[ ]d['\u2019]ordine)?)["'`\])\\]{{0,3}}(?:(?P<type>:\s?\w{{1,12}}\s?=\s?)|"""
    rf"""\s{{0,3}}(?P<sign>{_SIGN})\s{{0,2}}|[ ](?P<is>{_IS}):?[ ]{{1,2}}|(?P<space>[ ]))"""
    r"""(?P<scheme>(?:Bearer|Basic|Token)[ ])?(?P<quote>\\?["'`]?)""",
    re.IGNORECASE,
)
"""From a keyword to what is its value: the rest of its name, a sign or a verb, a quotation mark."""
_QUOTED = re.compile(rf"[^{ENDS}'\\]{{4,128}}")
_BARE = re.compile(rf"[^{ENDS}'\\,;&]{{4,128}}")
_TOKEN = re.compile(r"[A-Za-z0-9_+/=.~-]{12,3900}")
_SPOKEN = re.compile(rf"[^{ENDS}'\\]{{6,64}}")
_CODE = re.compile(
    r"[$%{*(\[]|[A-Za-z_][\w.]*[(\[{]|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z|env[:.]|file:|https?:|/|\.{2}|x{4}|X{4}"
)
"""Where a value is a program's, a reference or a stand-in, not a secret."""
_KINDS = bytes(48 if 48 <= each < 58 else 32 if chr(each).isspace() else 97 for each in range(128)) + bytes(128)
_MIXED = re.compile(rb"0(?:(?<=a0)|(?=a))")
"""In a word of digits and others, of the kinds of whose characters it is searched: a search for one byte takes a
fifth of one for any digit."""
_BEFORE = 14
"""Characters that are looked at before a keyword."""
_PAGING = re.compile(
    r"(?:page|next|continuation|sync|cursor|max|num|input|output|prompt|completion|total)[_-]?\Z", re.IGNORECASE
)


def assigned(text: str, low: str, start: int) -> Iterator[Find]:
    """What is said or set to be a password, a token, a key, in ``text``, whose lower case is ``low``."""
    for word, at, rest in names(text, low, start):
        if (end := _value(text, at, rest, word)) >= 0:
            yield Find(rest.end(), end, "KEY")


def names(text: str, low: str, start: int) -> Iterator[tuple[str, int, re.Match[str]]]:
    """Words that a value stands behind, from ``start`` on: each, where it is, and what is between the two."""
    if ":" not in text and "=" not in text and text.isascii() and not _is_mixed(text):
        return  # without a sign, only what is of digits and others is a value
    said = [stem for stem in _STEMS if stem in low]
    if "pass" in said:
        said += _IN_PASS
    for word in said:
        at = low.find(word, max(0, start - CONTEXT)) if word != "pass" else -1
        while at >= 0:
            known = word != "key" or _SECRET_KEY.search(low[max(0, at - _BEFORE) : at])
            rest = _REST.match(text, at + len(word)) if known else None
            told = rest is not None and (rest["space"] is None or rest["scheme"] or word == "bearer")
            if rest is not None and told and start <= rest.end() <= at + CONTEXT - _BEFORE:
                yield word, at, rest
            at = low.find(word, at + 1)


def _is_mixed(text: str) -> bool:
    return _MIXED.search(text.encode().translate(_KINDS)) is not None


def _value(text: str, at: int, rest: re.Match[str], word: str) -> int:
    """Where the secret ends that begins where ``rest`` ends; -1: it is none."""
    is_password = word in PASSWORDS
    begin, quote, spoken = rest.end(), rest["quote"], rest["is"] is not None
    shape = _TOKEN if not is_password else _SPOKEN if spoken else _QUOTED if quote else _BARE
    found = shape.match(text, begin)
    if found is None or _CODE.match(found[0]) or _PAGING.search(text[max(0, at - _BEFORE) : at]):
        return -1
    value = found[0] if quote and text.startswith(quote, found.end()) else found[0].rstrip(".,;:)]}")
    if text.startswith("(", begin + len(value)):
        return -1
    if is_password and not rest["scheme"]:
        good = _like_password(value, strong=spoken)
    else:
        good = not spoken and len(value) >= 12 and _like_token(value)
    return begin + len(value) if good else -1


def _like_password(value: str, strong: bool) -> bool:
    """Not a word: it has a digit among letters, or signs; what is only said to be one needs two of three."""
    digits = any(map(str.isdigit, value))
    letters = any(map(str.isalpha, value))
    signs = any(not each.isalnum() and each not in "_-.:/" for each in value[:-1])
    mixed = value != value.lower() and not value[1:].islower()
    if strong:
        return len(value) >= 6 and letters and digits
    return len(value) >= 6 and letters and (digits or (signs and mixed))


_TIME = re.compile(r"[\d.:TZ+-]+\Z")


def _like_token(value: str) -> bool:
    if value.isdigit() or value.isalpha() or not any(map(str.isdigit, value)) or _TIME.match(value):
        return False
    return entropy(value) >= 3.0


def entropy(text: str) -> float:
    """Bits a character, by how often each is there."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in map(text.count, set(text)))


_CURL = re.compile(rf"(?:-u|--user)[ =]{{1,2}}[\"']?[^{ENDS}:']{{1,64}}:")
_GIVEN = re.compile(rf"[^{ENDS}'\\]{{3,128}}")


def of_curl(text: str, start: int) -> Iterator[Find]:
    """The password of ``curl -u user:password``."""
    for user in _CURL.finditer(text, max(0, start - CONTEXT)):
        begin = user.end()
        if begin < start or text.rfind("curl", max(0, begin - CONTEXT), user.start()) < 0:
            continue
        found = _GIVEN.match(text, begin)
        if found and not _STAND_INS.match(found[0]) and not _CODE.match(found[0]):
            yield Find(*found.span(), "KEY")


_USER = re.compile(rf"[^{ENDS}:/@'?#]{{0,64}}:")
_PASSWORD = re.compile(rf"([^{ENDS}/@]{{3,128}})@[{WORD}\[]")
_STAND_INS = re.compile(
    r"(?:password|passwd|pass|pwd|secret|token|xxx+|\*+|\$.*|%.*|\{.*|user|username|key)\Z", re.IGNORECASE
)


def in_urls(text: str, start: int) -> Iterator[Find]:
    """The password of ``scheme://user:password@host`` (RFC 3986, 3.2.1)."""
    at = text.find("://", max(0, start - CONTEXT))
    while at >= 0:
        if (
            at
            and text[at - 1].isalnum()
            and (user := _USER.match(text, at + 3))
            and user.end() >= start
            and user.end() - at < CONTEXT
            and (found := _PASSWORD.match(text, user.end()))
            and not _STAND_INS.match(found[1])
        ):
            yield Find(found.start(1), found.end(1), "KEY")
        at = text.find("://", at + 3)
