"""The ``openai`` and ``anthropic`` packages: an answer that is given again is read as the first one was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import openai

from tests.e2e.clients.strict import KEY, URL, all_known, begin, equal, known

OWN = ("id", "created", "created_at", "response_id")
"""What an answer has for itself alone."""
SAY: Any = [{"role": "user", "content": "hello"}]


def plain(value: Any) -> Any:
    """``value`` without its own."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name not in OWN}
    return [plain(each) for each in value] if isinstance(value, list) else value


def twice(what: str, ask: Callable[[], Any]) -> None:
    """``ask`` gives what ``with_raw_response`` does, of a whole answer or a stream."""
    told, said, ids = [], [], set()
    for _ in range(2):
        raw = ask()
        told.append(raw.headers["x-llmedge-cache"])
        parsed = raw.parse()
        events = all_known(parsed) if isinstance(parsed, Iterable) and not hasattr(parsed, "model_dump") else None
        document = [each.model_dump() for each in events] if events is not None else known(parsed).model_dump()
        said.append(plain(document))
        ids.add(str(document[0] if events is not None else document.get("id")))
    equal(told, ["MISS", "HIT"], what)
    if "embeddings" in what:  # whose usage is that of what was asked for
        equal(said[1].pop("usage"), {"prompt_tokens": 0, "total_tokens": 0}, what)
        del said[0]["usage"]
    assert said[1] == said[0], what
    assert len(ids) == 2 or "embeddings" in what, f"{what}: the same id"


def main() -> None:
    begin()
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
        for more in ({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}):
            chat = client.chat.completions.with_raw_response
            twice(f"chat {more}", lambda more=more, chat=chat: chat.create(model="m", messages=SAY, **more))
        for more in ({}, {"stream": True}):
            responses, texts = client.responses.with_raw_response, client.completions.with_raw_response
            twice(f"responses {more}", lambda more=more, it=responses: it.create(model="m", input="hello", **more))
            if not more:  # the types know no finish_reason but the last of a stream
                twice(f"completions {more}", lambda more=more, it=texts: it.create(model="m", prompt="hello", **more))
        items = client.embeddings.with_raw_response
        twice("embeddings", lambda: items.create(model="m", input=["one", "two"], encoding_format="float"))
    with anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0) as asker:
        for more in ({}, {"stream": True}):
            messages = asker.messages.with_raw_response
            twice(
                f"messages {more}",
                lambda more=more, it=messages: it.create(model="m", messages=SAY, max_tokens=99, **more),
            )


main()
