"""Questions in Japanese and Chinese: without spaces they are compared by what their characters make up."""

from __future__ import annotations

import re
import unicodedata

import attrs

from llmedge.cache.semantic.vocabulary import OPPOSITE_CHARACTERS

_KANA = re.compile(r"[\u3040-\u30ff]")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々〆"
_JAPANESE = re.compile(rf"[{_HAN}]+|[\u30a0-\u30ffー]{{2,}}|[a-z][\w.+#-]*|\d+(?:[.,]\d+)*")
_CHINESE = re.compile(rf"[{_HAN}]+|[a-z][\w.+#-]*|\d+(?:[.,]\d+)*")
_FRAMES_JA = re.compile(
    "を?(?:教えて|説明して|おしえて)(?:ください|下さい|くれますか|くれませんか|もらえますか|いただけますか|ほしい)?|お願いします|"
    "方法|やり方|(?:は|には)?どうすれば(?:いい|良い|よい)(?:です)?か?|どのように|どうやって|ください|下さい|でしょうか|何|どれ|という"
)
_FRAMES_ZH = re.compile(
    "请问|请告诉我|告诉我|请|怎么样|怎样|怎么|如何|什么是|是什么|什么|哪座城市|哪个城市|哪里|哪儿|哪个|哪座|哪|我想知道|"
    "的|了|吗|呢|啊|吧|我|您|你|能不能|能否|可以|方法|办法|是"
)
_NOT_JA = re.compile("ない|なかった|なく|ません|ませんでした|ずに|いけ|だめ|駄目|禁止|無|不|非|未")
_NOT_ZH = re.compile("没有|不|没|無|无|非|别|未|勿|禁止")
_ASKED = {
    "time": re.compile("いつ|何時|何日|何年|何时|什么时候|几点|哪年|哪天"),
    "place": re.compile("どこ|何処|哪里|哪儿|何处"),
    "person": re.compile("誰|だれ|谁|何人(?!口)"),
    "reason": re.compile("なぜ|どうして|何故|为什么|为何"),
    "quantity": re.compile("いくら|いくつ|どれくらい|何個|何回|多少|几个"),
}
_RELATIVE = re.compile(
    "今日|昨日|明日|今(?!度)|現在|最新|最近|先週|来週|今週|先月|来月|去年|来年|一昨日|今天|昨天|明天|现在|目前|当前|上周|下周|本周|这周|上个月|下个月"
)


@attrs.frozen(eq=False, slots=True)
class Characters:
    """:ivar parts: what the question is about, in order. ``joined``: all of it but how it is asked.
    :ivar asked: what it asks for. ``numbers``: in order.
    """

    text: str
    language: str
    parts: tuple[str, ...]
    joined: str
    negations: int
    asked: frozenset[str]
    numbers: tuple[str, ...]


def is_relative(text: str) -> bool:
    """Whether it moves with the day."""
    return _RELATIVE.search(text) is not None


def read(text: str) -> Characters:
    """A question that has such characters."""
    small = unicodedata.normalize("NFKC", text).casefold()
    language = "ja" if _KANA.search(small) else "zh"
    frames, pattern, negation = (
        (_FRAMES_JA, _JAPANESE, _NOT_JA) if language == "ja" else (_FRAMES_ZH, _CHINESE, _NOT_ZH)
    )
    framed = frames.sub(" ", small)
    return Characters(
        "".join(each for each in small if each.isalnum()),
        language,
        tuple(pattern.findall(framed)),
        re.sub(r"\W+", "", framed),
        len(negation.findall(small)),
        frozenset(kind for kind, asked in _ASKED.items() if asked.search(small)),
        tuple(re.findall(r"\d+(?:[.,]\d+)*", small)),
    )


def differing(one: Characters, other: Characters) -> str:
    """In what they differ so that no answer does for both; ``""``: in nothing that is known here."""
    if one.language != other.language:
        return "language"
    if one.negations != other.negations:
        return "negation"
    if one.numbers != other.numbers:
        return "numbers"
    if one.asked and other.asked and not one.asked & other.asked:
        return "question"
    here, there = set(one.text) - set(other.text), set(other.text) - set(one.text)
    if any(len(pair & here) == 1 and len(pair & there) == 1 for pair in OPPOSITE_CHARACTERS):
        return "opposites"
    missing, added = missing_in(one, other), missing_in(other, one)
    if missing and added:
        return "words"
    if sorted(one.parts) == sorted(other.parts) and one.parts != other.parts:
        return "order"
    return ""


def missing_in(one: Characters, other: Characters) -> list[str]:
    """What ``one`` is about and ``other`` is not."""
    return [part for part in one.parts if part not in other.joined]
