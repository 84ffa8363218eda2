"""A question as the guards see it: its words, what they say, and in which order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from time import sleep

import attrs

from llmedge.cache.semantic.vocabulary import DEGREES, KINDS, LANGUAGES, Vocabulary

LONG = 500
"""Characters above which a text takes more than a millisecond."""
NOTHING: frozenset[str] = frozenset()
_LOOKED_UP = [kind for kind in KINDS if kind not in ("numbers", "questions")]
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_CYRILLIC = re.compile(r"[а-яё]")
_FOREIGN_CYRILLIC = re.compile(r"[іїєґўјљњћђќѓѕџ]")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[a-z\u00df-\u024f\u1e00-\u1eff]")
_SYMBOL = re.compile(r"[+*/=<>^%$€£¥&@#|~\\{}\[\]_°²³]")
_NUMBER = re.compile(r"(\d+(?:[.,:]\d+)*)(?:st|nd|rd|th)?")
_COUNTED = re.compile(r"(\d+(?:[.,]\d+)*)-?([^\W\d_]+|°[cf])")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_IDENTIFIER = re.compile(
    r"\w*[a-z][A-Z]\w*|.*[_@\\#+*=<>^$|{}\[\]~].*|\w+(?:[./:]+\w+)+|(?=.*\d)(?=.*[^\W\d_])[\w.\-]+"
)
_EDGES = " \t\n.,!?;:\"'()«»“”„¿¡…‘’`–—-"
_SENTENCE_END = re.compile(r"[.!?:…]['\"”»)]*$")
_QUOTED = re.compile(r"""["“„«](.{1,200}?)["”“»]|(?<!\w)['‘](.{1,200}?)['’](?!\w)""")
_ELISION = re.compile(
    r"^(?:l|d|j|m|t|s|n|c|cos|qual|qu|dell|all|nell|dall|sull|un|jusqu|lorsqu|puisqu)'(?=[^\W\d_])", re.IGNORECASE
)
_OF = {
    "en": frozenset(("of", "in", "for", "on")),
    "fr": frozenset(["de", "du", "des", "d", "en"]),
    "es": frozenset(["de", "del", "en"]),
    "it": frozenset(["di", "del", "della", "dei", "delle", "dello", "dell", "in"]),
    "pt": frozenset(["de", "do", "da", "dos", "das", "em"]),
    "nl": frozenset(("van", "in")),
}
"""Between a thing and what it is of: "list in Python" is a "Python list"."""
_ARTICLES = {
    "en": frozenset(
        ["the", "a", "an", "my", "your", "his", "her", "its", "our", "their", "this", "that", "these", "those"]
    ),
    "fr": frozenset(["le", "la", "les", "l", "un", "une", "mon", "ma", "mes"]),
    "es": frozenset(["el", "la", "los", "las", "un", "una", "mi", "mis"]),
    "it": frozenset(["il", "lo", "la", "i", "gli", "le", "l", "un", "una", "mio", "mia"]),
    "pt": frozenset(["o", "a", "os", "as", "um", "uma", "meu", "minha"]),
    "nl": frozenset(["de", "het", "een", "mijn"]),
}
_VERB = {
    "fr": re.compile(r"(?<=\w{3})(?:er|ir|re|e|ent|ons|ez)$"),
    "es": re.compile(r"(?<=\w{3})(?:ar|er|ir|o|a|e|an|en)$"),
    "it": re.compile(r"(?<=\w{3})(?:are|ere|ire|o|a|e|i)$"),
    "pt": re.compile(r"(?<=\w{3})(?:ar|er|ir|o|a|e)$"),
}
"""How verbs end; behind "how" the first word of what is asked is one."""


@attrs.frozen(eq=False, slots=True)
class Lexed:
    """:ivar text: of the whole question, folded. ``language``: which vocabulary was used.
    :ivar words: all its words, as written and in their base form.
    :ivar content: those that say what it is about, in order; ``moved``: what something is of, behind that.
    :ivar names: words that have to be in a question that says the same.
    :ivar first: a word that stands first and may be a name.
    :ivar numbers: in order; ``symbols``: sorted, then letters that stand alone; ``negations``: how many.
    :ivar kinds: kind of word → what it says of it, where it says something.
    """

    text: str
    language: str
    words: frozenset[str]
    content: tuple[str, ...]
    moved: frozenset[str]
    names: frozenset[str]
    first: str
    numbers: tuple[str, ...]
    symbols: tuple[str, ...]
    negations: int
    kinds: Mapping[str, frozenset[str]]

    def says(self, kind: str) -> frozenset[str]:
        """What it says of ``kind``, maybe nothing."""
        return self.kinds.get(kind, NOTHING)


def folded(text: str) -> str:
    """``text`` as it is compared: one form of each character, small, without superfluous space."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").split()).casefold()


def lex(text: str) -> Lexed | None:
    """Read a question in letters; ``None``: its language is not known here."""
    plain = " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").split())
    small = plain.casefold()
    language = _language(small)
    if language is None:
        return None
    vocabulary = LANGUAGES[language]
    chunks, names, first, numbers, spoken = _chunks(plain, vocabulary, language)
    _let_others(plain)
    framed = small
    for pattern, instead in vocabulary.frames:
        framed = pattern.sub(instead, framed)
        _let_others(framed)
    tokens = _tokens(framed, vocabulary)
    _let_others(framed)
    asked = _asked(tokens, vocabulary)
    content, moved = _content(tokens, vocabulary, language)
    if content and "manner" in asked and (ending := _VERB.get(language)) is not None:
        verb = ending.sub("", content[0])
        content = (verb, *content[1:])
    kinds = _kinds((*tokens, *spoken), chunks, vocabulary)
    for match in _QUOTED.finditer(plain):
        names |= {base(word, language) for word in _tokens((match[1] or match[2]).casefold(), vocabulary)}
    names -= {base(word, language) for word in vocabulary.kinds["spans"]}
    besides = kinds.get("calendar", NOTHING) | kinds.get("languages", NOTHING)
    return Lexed(
        small.strip(_EDGES),
        language,
        frozenset(chunks) | {base(word, language) for word in chunks} | besides,
        content,
        moved,
        frozenset(names | besides),
        first,
        tuple(numbers),
        (*sorted(_SYMBOL.findall(small)), *_letters(small, vocabulary)),
        sum(word in vocabulary.negations for word in _tokens(small, vocabulary)),
        kinds | ({"questions": asked} if asked else {}),
    )


def _let_others(text: str) -> None:
    """Other threads may have the interpreter for a moment: a long text takes it for milliseconds."""
    if len(text) > LONG:
        sleep(0)


def _kinds(framed: Iterable[str], chunks: Iterable[str], vocabulary: Vocabulary) -> dict[str, frozenset[str]]:
    """:param framed: words that are left of how it is asked. :param chunks: all of them."""
    found: dict[str, frozenset[str]] = {}
    for kind in _LOOKED_UP:
        words = (*framed, *chunks) if kind in ("spans", "categories") else framed
        if said := frozenset(vocabulary.kinds[kind][word] for word in words if word in vocabulary.kinds[kind]):
            found[kind] = said
    return found


def _language(small: str) -> str | None:
    """The one most of whose commonest words are there, a fifth of all at least; ``None``: there is none, or letters are
    that it has not."""
    letters = _LETTER.findall(small)
    if CJK.search(small) or not letters:
        return None
    if _CYRILLIC.search(small):
        candidates: Iterable[str] = () if _FOREIGN_CYRILLIC.search(small) else ("ru",)
    elif all(map(_LATIN.match, letters)):
        candidates = (name for name in LANGUAGES if name != "ru")
    else:
        return None
    words = [word for word in re.split(r"[^\w']+|(?<=\w)'(?=\w{3})", small) if word and not word.isdigit()]
    best, most = None, (len(words) - 1) // 5
    for name in candidates:
        vocabulary = LANGUAGES[name]
        known = sum(word in vocabulary.known for word in words)
        if known > most and (name == "ru" or all(each.isascii() or each in vocabulary.letters for each in letters)):
            best, most = name, known
    return best


def base(word: str, language: str) -> str:
    """A word without what only its place in a sentence has it end with; careful rather than thorough."""
    if language == "en":
        return _english(word)
    if language in ("de", "nl") and len(word) > 4:
        return re.sub(r"(?:en|e|n|s)$", "", word)
    if language in ("fr", "es", "pt") and len(word) > 4:
        return re.sub(r"(?<=[^\Ws])s$", "", word)
    return word


_AMERICAN = {"ise": "ize", "ised": "ized", "ising": "izing", "our": "or", "tre": "ter", "ours": "ors"}
_BRITISH = re.compile(r"(?:is(?:e|ed|ing)|ours?|tre)$")


def _english(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    if len(word) > 5:
        word = _BRITISH.sub(lambda match: _AMERICAN[match[0]], word)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and re.search(r"(?:ss|sh|ch|x|z)es$", word):
        return word[:-2]
    if len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) - len(ending) >= 4 and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word


def _chunks(plain: str, vocabulary: Vocabulary, language: str) -> tuple[list[str], set[str], str, list[str], list[str]]:
    """All words; the names among them; a first word that may be one; numbers; words that stood behind numbers."""
    words: list[str] = []
    names: set[str] = set()
    numbers: list[str] = []
    spoken: list[str] = []
    first, begins, counted = "", True, False
    shouted = not any(each.islower() for each in plain)
    for raw in plain.split(" "):
        chunk = _ELISION.sub("", raw.strip(_EDGES))
        if not chunk:
            if _SYMBOL.search(raw):
                words.append(raw)
            continue
        small = chunk.casefold()
        before = numbers[-1] if numbers and counted else ""
        counted = False
        if (match := _NUMBER.fullmatch(small.rstrip("%°"))) is not None:
            numbers.append(number(match[1]))
            counted = True
        elif (match := _COUNTED.match(small)) is not None and "-" not in small[match.end(1) + 1 :] + "":
            clock = match[2] if match[2] in ("am", "pm") else ""
            numbers.append(number(match[1]) + clock[:1])
            words.append(match[2])
            spoken.append(match[2])
        elif small in vocabulary.kinds["numbers"] and small not in ("one",):
            numbers.append(vocabulary.kinds["numbers"][small])
            words.append(small)
        elif small[:1].isdigit() and "-" in small:
            head, *rest = small.split("-")
            numbers.append(number(head))
            words += rest
            spoken += rest
        elif _IDENTIFIER.fullmatch(chunk) and not re.fullmatch(r"[^\W\d_]+/[^\W\d_]+", chunk):
            words.append(small)
            names.add(base(small, language))
        else:
            parts = re.split(r"[-/]", small) if "-" in small or "/" in small else [small]
            words += [part for part in (small, *parts, "".join(parts)) if part]
            if small.replace(".", "") in ("am", "pm") and numbers and before == numbers[-1]:
                numbers[-1] += small[:1]
            if chunk[:1].isupper() and not shouted and small not in ("i", "i'm", "i'd", "i'll", "i've"):
                plainly = not begins or (len(chunk) > 1 and chunk.isupper())
                if plainly and (small not in vocabulary.common or chunk.isupper()):
                    names |= {
                        base(part, language) for part in re.split(r"[-/']", small) if len(part) > 1 or chunk.isupper()
                    }
                elif begins and small not in vocabulary.known and not first:
                    first = base(small, language)
        begins = bool(_SENTENCE_END.search(raw))
    names -= {"s", "t", "d", "ll", "re", "ve"}
    return words, names, first, numbers, spoken


def _letters(small: str, vocabulary: Vocabulary) -> list[str]:
    """Letters that stand alone, in order, where one of them is no word: then all of them are names of something."""
    letters = [token for token in _tokens(small, vocabulary) if len(token) == 1 and token.isalpha()]
    return letters if any(each not in vocabulary.common for each in letters) else []


def number(text: str) -> str:
    """1,000 is 1000; 3,5 is 3.5."""
    if _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    return text.replace(",", ".")


def _tokens(small: str, vocabulary: Vocabulary) -> list[str]:
    tokens = []
    for raw in small.split():
        chunk = raw.strip(_EDGES)
        chunk = _ELISION.sub("", chunk)
        if not chunk:
            continue
        parts = chunk.split("-") if "-" in chunk and chunk not in vocabulary.synonyms else [chunk]
        tokens += [part for part in parts if part]
    return tokens


def _content(tokens: list[str], vocabulary: Vocabulary, language: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """What a question is about, in order; and which of that stands behind what is of it."""
    content: list[str] = []
    moved: set[str] = set()
    behind = False
    for token in tokens:
        word = token.removesuffix("'s") if language == "en" else token
        if word in vocabulary.negations or (word in vocabulary.common and word not in vocabulary.kinds["numbers"]):
            behind = token in _OF.get(language, ()) or (behind and token in _ARTICLES.get(language, ()))
            continue
        word = base(vocabulary.synonyms.get(word) or vocabulary.synonyms.get(base(word, language)) or word, language)
        content.append(word)
        if behind:
            moved.add(word)
    return tuple(content), frozenset(moved)


def _asked(tokens: list[str], vocabulary: Vocabulary) -> frozenset[str]:
    """What a question asks for."""
    found = set()
    for place, token in enumerate(tokens):
        if (asked := vocabulary.kinds["questions"].get(token)) is None:
            continue
        if asked == "manner":
            following = tokens[place + 1] if place + 1 < len(tokens) else ""
            if following in ("many", "much"):
                asked = "quantity"
            elif following in DEGREES:
                continue
        found.add(asked)
    if not found and tokens and tokens[0] in vocabulary.auxiliaries:
        found.add("whether")
    return frozenset(found)
