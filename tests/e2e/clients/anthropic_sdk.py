"""The ``anthropic`` package: messages whole, streamed and accumulated, tools, counting, models, errors."""

from __future__ import annotations

from typing import Any

import anthropic

from tests.e2e.clients.strict import (
    ANSWER,
    ARGUMENTS,
    CITY,
    KEY,
    LLAMAS,
    MODELS,
    TOLD,
    URL,
    Own,
    all_known,
    begin,
    breaks,
    equal,
    known,
    raises,
)

TOOLS: Any = [{"name": "get_weather", "description": "the weather", "input_schema": CITY}]


def messages(client: anthropic.Anthropic, model: str) -> None:
    ask: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
    answer = known(client.messages.create(**ask))
    equal(([block.type for block in answer.content], answer.content[0].text), (["text"], ANSWER), "messages")
    equal(
        (answer.type, answer.role, answer.stop_reason, answer.stop_sequence), ("message", "assistant", "end_turn", None)
    )
    events = all_known(client.messages.create(**ask, stream=True))
    equal((events[0].type, events[-1].type), ("message_start", "message_stop"))
    equal("".join(e.delta.text for e in events if e.type == "content_block_delta"), ANSWER, "messages streamed")
    with client.messages.stream(**ask) as stream:
        all_known(stream)
        final = known(stream.get_final_message())
    equal((final.content[0].text, final.stop_reason), (ANSWER, "end_turn"), "messages accumulated")
    equal(final.usage.output_tokens, answer.usage.output_tokens, "usage of the stream")
    assert answer.usage.input_tokens > 0, answer.usage

    ask["messages"] = [{"role": "user", "content": "weather"}]
    answer = known(client.messages.create(**ask, tools=TOOLS))
    with client.messages.stream(**ask, tools=TOOLS) as stream:
        all_known(stream)
        final = known(stream.get_final_message())
    for said in (answer, final):
        (call,) = said.content
        equal((said.stop_reason, call.type, call.name, call.input), ("tool_use", "tool_use", "get_weather", ARGUMENTS))
    ask["messages"] += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    answer = known(client.messages.create(**ask, tools=TOOLS))
    equal(answer.stop_reason, "end_turn", "after the tool")
    assert model == "m-mock" or answer.content[0].text == TOLD, answer


def real(client: anthropic.Anthropic, model: str) -> None:
    say: Any = [{"role": "user", "content": "hello"}]
    ask: dict[str, Any] = {"model": model, "messages": say, "max_tokens": 12, "extra_body": {"temperature": 0}}
    answer = client.messages.create(**ask)
    with client.messages.stream(**ask) as stream:
        events = list(stream)
        final = stream.get_final_message()
    if model == "m-llama-chat":
        all_known([answer, *events])
    equal((len(answer.content[0].text), answer.stop_reason, answer.usage.output_tokens), (12, "max_tokens", 12))
    equal((final.content[0].text, final.stop_reason), (answer.content[0].text, "max_tokens"))


def errors(client: anthropic.Anthropic, model: str) -> None:
    kinds = {400: anthropic.BadRequestError, 429: anthropic.RateLimitError, 500: anthropic.InternalServerError}
    for status, kind in kinds.items():
        said: Any = [{"role": "user", "content": f"fail with {status}"}]
        for stream in (False, True):
            ask = {"model": model, "messages": said, "max_tokens": 9, "stream": stream}
            error = raises(kind, lambda ask=ask: client.messages.create(**ask))
            assert f"a rehearsed {status}" in error.message, error.message
            body = error.body
            equal((body["type"], set(body) - {"request_id"}), ("error", {"type", "error"}))
    said = [{"role": "user", "content": "truncated"}]
    breaks(
        lambda: client.messages.create(model=model, messages=said, max_tokens=9, stream=True), anthropic.APIStatusError
    )


def refusals(client: anthropic.Anthropic) -> None:
    ask: Any = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    raises(anthropic.BadRequestError, lambda: client.messages.create(model="m-mock", messages=[], max_tokens=1))
    raises(anthropic.NotFoundError, lambda: client.messages.create(model="no-such", **ask))
    raises(anthropic.NotFoundError, lambda: client.models.retrieve("no-such"))
    wrong = client.with_options(api_key="wrong")
    raises(anthropic.AuthenticationError, lambda: wrong.messages.create(model="m-mock", **ask))


def main() -> None:
    begin()
    with anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
        for model in MODELS:
            Own.answer = model == "m-anthropic"
            messages(client, model)
            Own.answer = False
            if model != "m-mock":
                errors(client, model)
        for model in LLAMAS:
            real(client, model)
        refusals(client)
        count = known(client.messages.count_tokens(model="m-llama", messages=[{"role": "user", "content": "hello"}]))
        assert count.input_tokens > 0
        names = [known(model).id for model in client.models.list()]
        assert set(MODELS) <= set(names), names
        equal(known(client.models.retrieve(MODELS[0])).id, MODELS[0])
    print(anthropic.__version__)


main()
