"""The ``openai`` package, 2.x or 3.x: chat, responses, completions, embeddings, models, errors."""

from __future__ import annotations

import json
from typing import Any

import openai

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

FUNCTION = {"name": "get_weather", "description": "the weather", "parameters": CITY}


def chat(client: openai.OpenAI, model: str) -> None:
    ask: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
    answer = known(client.chat.completions.create(**ask))
    equal((answer.choices[0].message.content, answer.choices[0].finish_reason), (ANSWER, "stop"), "chat")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    chunks = all_known(client.chat.completions.create(**ask, stream=True))
    equal("".join(c.choices[0].delta.content or "" for c in chunks), ANSWER, "chat streamed")
    assert all(chunk.usage is None for chunk in chunks), "usage nobody asked for"
    with client.chat.completions.stream(**ask, stream_options={"include_usage": True}) as stream:
        equal([e.type for e in stream if e.type == "error"], [])
        final = known(stream.get_final_completion())
    equal(final.choices[0].message.content, ANSWER, "chat accumulated")
    equal(final.usage.completion_tokens, answer.usage.completion_tokens, "usage of the stream")
    tools = {"tools": [{"type": "function", "function": FUNCTION}]}
    ask["messages"] = [{"role": "user", "content": "weather"}]
    answer = known(client.chat.completions.create(**ask, **tools))
    equal(answer.choices[0].finish_reason, "tool_calls")
    with client.chat.completions.stream(**ask, **tools) as stream:
        all_known(event.chunk for event in stream if event.type == "chunk")
        final = stream.get_final_completion()  # the SDK leaves the deltas' index in it
    for said in (answer, final):
        (call,) = said.choices[0].message.tool_calls
        equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", ARGUMENTS), "tool call")
    ask["messages"] += [
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    equal(known(client.chat.completions.create(**ask, **tools)).choices[0].finish_reason, "stop", "after the tool")


def responses(client: openai.OpenAI, model: str) -> None:
    ask: dict[str, Any] = {"model": model, "input": "hello", "max_output_tokens": 100, "store": False}
    answer = known(client.responses.create(**ask))
    equal((answer.output_text, answer.status, answer.error), (ANSWER, "completed", None), "responses")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    events = all_known(client.responses.create(**ask, stream=True))
    equal((events[0].type, events[-1].type), ("response.created", "response.completed"))
    equal("".join(e.delta for e in events if e.type == "response.output_text.delta"), ANSWER, "responses streamed")
    assert Own.answer or [e.sequence_number for e in events] == list(range(len(events))), "sequence numbers"
    with client.responses.stream(**ask) as stream:
        all_known(stream)
        final = known(stream.get_final_response())
    equal((final.output_text, final.usage.output_tokens), (ANSWER, answer.usage.output_tokens), "accumulated")
    tools = [{"type": "function", "strict": False, **FUNCTION}]
    ask["input"] = [{"role": "user", "content": "weather"}]
    answer = known(client.responses.create(**ask, tools=tools))
    with client.responses.stream(**ask, tools=tools) as stream:
        all_known(stream)
        final = known(stream.get_final_response())
    for said in (answer, final):
        (call,) = (item for item in said.output if item.type == "function_call")
        equal((call.name, json.loads(call.arguments)), ("get_weather", ARGUMENTS), "responses tool call")
    ask["input"] += [item.model_dump(exclude_none=True) for item in answer.output]
    ask["input"] += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    again = known(client.responses.create(**ask, tools=tools))
    assert model == "m-mock" or again.output_text == TOLD, again


def real(client: openai.OpenAI, model: str) -> None:
    """llama.cpp adds fields of its own to chat completions, which go through where nothing is translated."""
    say: Any = [{"role": "user", "content": "hello"}]
    ask: dict[str, Any] = {"model": model, "messages": say, "max_tokens": 12, "temperature": 0}
    answer = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True))
    if model == "m-llama-messages":
        all_known([answer, *chunks])
    text = answer.choices[0].message.content
    equal((len(text), answer.choices[0].finish_reason, answer.usage.completion_tokens), (12, "length", 12))
    equal("".join(c.choices[0].delta.content or "" for c in chunks), text, "streamed")
    ask = {"model": model, "input": "hello", "max_output_tokens": 12, "temperature": 0}
    answer = client.responses.create(**ask)
    with client.responses.stream(**ask) as stream:
        events = list(stream)
    final = events[-1].response  # the helper knows of an end at response.completed only
    all_known([answer, *events])
    equal((answer.output_text, final.output_text, final.usage.output_tokens), (text, text, 12))
    equal((answer.status, events[-1].type), ("incomplete", "response.incomplete"))


def completions(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "m-mock", "prompt": "hello", "max_tokens": 100}
    equal(known(client.completions.create(**ask)).choices[0].text, ANSWER)
    Own.answer = True  # the types know no finish_reason but the last; OpenAI sends null before it
    equal("".join(c.choices[0].text for c in all_known(client.completions.create(**ask, stream=True))), ANSWER)
    Own.answer = False


def embeddings(client: openai.OpenAI, model: str) -> None:
    whole = known(client.embeddings.create(model=model, input=["hello", "you"], encoding_format="float"))
    packed = known(client.embeddings.create(model=model, input=["hello", "you"]))  # base64 on the wire
    equal([item.index for item in whole.data], [0, 1])
    for one, other in zip(whole.data, packed.data, strict=True):
        equal([round(n, 4) for n in one.embedding], [round(n, 4) for n in other.embedding], "embeddings")


def listed(client: openai.OpenAI) -> None:
    names = [known(model).id for model in client.models.list()]
    assert set(MODELS) <= set(names), names
    equal(known(client.models.retrieve(MODELS[0])).id, MODELS[0])


def errors(client: openai.OpenAI, model: str) -> None:
    kinds = {400: openai.BadRequestError, 429: openai.RateLimitError, 500: openai.InternalServerError}
    for status, kind in kinds.items():
        said = f"fail with {status}"
        for ask in (
            lambda s, said=said: client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": said}], stream=s
            ),
            lambda s, said=said: client.responses.create(model=model, input=said, stream=s),
        ):
            for stream in (False, True):
                error = raises(kind, lambda ask=ask, stream=stream: ask(stream))
                assert f"a rehearsed {status}" in error.message, error.message
                assert None not in (error.type, error.code), error.body
    cut: Any = [{"role": "user", "content": "truncated"}]
    breaks(lambda: client.chat.completions.create(model=model, messages=cut, stream=True), openai.APIError)
    breaks(lambda: client.responses.create(model=model, input="truncated", stream=True), openai.APIError)


def refusals(client: openai.OpenAI) -> None:
    raises(openai.BadRequestError, lambda: client.chat.completions.create(model="m-mock", messages=[]))
    raises(openai.NotFoundError, lambda: client.responses.create(model="no-such", input="x"))
    raises(openai.NotFoundError, lambda: client.models.retrieve("no-such"))
    raises(openai.AuthenticationError, lambda: client.with_options(api_key="wrong").models.list())


def main() -> None:
    begin()
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
        for model in MODELS:
            Own.answer = model in ("m-chat", "m-azure", "m-ollama")
            chat(client, model)
            Own.answer = model in ("m-responses", "m-azure")
            responses(client, model)
            Own.answer = False
            if model != "m-mock":
                errors(client, model)
        for model in LLAMAS:
            real(client, model)
        completions(client)
        embeddings(client, "m-chat")
        listed(client)
        refusals(client)
    print(openai.__version__)


main()
