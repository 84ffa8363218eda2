"""E-mail addresses and addresses of machines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmedge.guards.cuts import WORD
from llmedge.guards.interfaces import Find

_LETTER = "A-Za-z\u00c0-\u1fff"
_LOCAL = re.compile(rf"[{_LETTER}0-9_][{_LETTER}0-9_.+%'-]*\Z")
_GOES_BACK = re.compile(rf"[{_LETTER}0-9_.+%'-]\Z")
_NO_USER = re.compile(r"[\s/\"<>]")
_LABEL = rf"[{_LETTER}0-9](?:[{_LETTER}0-9-]{{0,61}}[{_LETTER}0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[{_LETTER}]{{2,24}})(?![{_LETTER}0-9_@])")
_FILES = re.compile(r"png|jpe?g|gif|svg|webp|ico|css|m?js|json|html?|txt|pdf|t?gz|ya?ml|toml", re.IGNORECASE)
"""Names of files end so, as in ``icon@2x.png``, and no domain does."""
LONGEST_EMAIL = 64 + 1 + 254
"""RFC 5321, 4.5.3.1."""


def emails(text: str, start: int) -> Iterator[Find]:
    """``local@domain`` (RFC 5322's dot-atom): no quoted local parts, no domain without a dot."""
    at = text.find("@", start)
    while at >= 0:
        if (begin := _local(text, at)) >= start and (domain := _DOMAIN.match(text, at + 1)):
            host = domain[0]
            scp = text[begin:at] == "git" and text[domain.end() : domain.end() + 1] == ":"
            if len(host) <= 254 and not _FILES.fullmatch(host.rpartition(".")[2]) and not scp:
                yield Find(begin, domain.end(), "EMAIL")
        at = text.find("@", at + 1)


def _local(text: str, at: int) -> int:
    """Where the local part before ``at`` begins; -1: there is none."""
    found = _LOCAL.search(text, max(0, at - 64), at)
    if found is None or text[at - 1] in ".'" or ".." in found[0]:
        return -1
    begin = found.start()
    before = text[max(0, begin - 80) : begin]
    if begin == at - 64 and _GOES_BACK.search(before):
        return -1
    _, url, user = before.rpartition("://")
    if url and not _NO_USER.search(user):
        return -1  # a URL's password, as it seems
    return begin


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?![0-9])")
_BEFORE_IPV4 = re.compile(rf"(?:[{WORD}]|[{WORD}][.-]|[\\/][{WORD}.-]*)\Z")
_AFTER_IPV4 = re.compile(rf"[{WORD}]|[.-][{WORD}]")
_OF_NOBODY = re.compile(r"0\.|127\.|255\.|22[4-9]\.|23[0-9]\.")
_VERSION = re.compile(
    r"(?:\b(?:v|ver|version\w*|versión|versões|versão|versie|wersja|releases?|builds?|update|upgraded?|firmware|patch|"
    r"hotfix|sections?|chapters?|paragraphs?|clauses?|articles?|figure|table|norm|iso|din|rfc|oid|abschnitt|kapitel|"
    r"absatz|ziffer|artículo|articolo|apartado|capítulo|capitolo|chapitre|paragraphe|paragrafo|párrafo|sección|sezione)"
    r"\b|§)\W{0,4}(?:[\w.]+\W{1,3}){0,2}\Z",
    re.IGNORECASE,
)
_MACHINE = re.compile(
    r"\b(?:ip|ips|ipv4|ip-\w+|addr|address|host|hosts|hostname|server|servers|node|machine|gateway|router|client|peer|"
    r"dns|nameserver|subnet|network|login|logins|ssh|ping|curl|traffic|proxy|firewall|rechner|adresse|knoten|netz|"
    r"serveur|machine|nœud|réseau|servidor|nodo|red|máquina|dirección|macchina|indirizzo|rete|remote_addr|"
    r"x-forwarded-for|from|von|desde|depuis|da)\b[^\n]{0,24}\Z|[@/\[]\Z",
    re.IGNORECASE,
)


def ipv4(text: str, start: int) -> Find | None:
    """The address that begins at ``start``, if it is one of a machine. ``1.2.3.4`` may be a version: what is short, and
    begins with no number of three digits, is none without words, a port or a URL around it."""
    if not (found := _IPV4.match(text, start)) or _OF_NOBODY.match(found[0]):
        return None
    end = found.end()
    before = text[max(0, start - 64) : start]
    url = before.endswith(("://", "@", "//"))
    if (not url and _BEFORE_IPV4.search(before)) or _AFTER_IPV4.match(text, end):
        return None
    if not url and _VERSION.search(before):
        return None
    told = url or _PORT.match(text, end) or _MACHINE.search(before)
    return Find(start, end, "IP") if told or end - start - 3 >= 8 or found[0].index(".") == 3 else None


_PORT = re.compile(r":[0-9]{2,5}\b|/[0-9]{1,2}\b")


_IPV6 = re.compile(
    rf"(?<![{WORD}:.])(?:[23][0-9A-Fa-f]{{3}}|[Ff][CcDd][0-9A-Fa-f]{{2}}|[Ff][Ee][89AaBb][0-9A-Fa-f]|64:[Ff]{{2}}9[Bb])"
    rf":[0-9A-Fa-f:]{{1,34}}(?![{WORD}])"
)
"""Of addresses that are given out (RFC 4291, 2.4; IANA's registry): 2000::/3, fc00::/7, fe80::/10, 64:ff9b::/96. So a
time, and ``a::b`` of a program, is none."""


def ipv6(text: str, start: int) -> Iterator[Find]:
    """Addresses in any of RFC 4291's forms but those that end with an IPv4 address."""
    for found in _IPV6.finditer(text, start):
        address = found[0] if found[0].endswith("::") else found[0].rstrip(":")
        groups = address.split(":")
        filled = [each for each in groups if each]
        short = address.count("::") == 1 and ":::" not in address and 2 <= len(filled) <= 7
        if max(map(len, groups)) <= 4 and (short or len(filled) == len(groups) == 8):
            yield Find(found.start(), found.start() + len(address), "IP")
