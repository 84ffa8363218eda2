"""The ``google-genai`` package: generate_content whole and streamed, tools, counting, embeddings, models, errors."""

from __future__ import annotations

import warnings
from typing import Any

from google import genai
from google.genai import errors, types

from tests.e2e.clients.strict import (
    ANSWER,
    ARGUMENTS,
    CITY,
    KEY,
    LLAMAS,
    MODELS,
    TOLD,
    URL,
    all_known,
    begin,
    breaks,
    equal,
    known,
    raises,
)

TOOLS: Any = [types.Tool(function_declarations=[{"name": "get_weather", "parameters_json_schema": CITY}])]
PLAIN = types.GenerateContentConfig(max_output_tokens=100)
WITH_TOOLS = types.GenerateContentConfig(
    tools=TOOLS, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
)


def generate(client: genai.Client, model: str) -> None:
    answer = known(client.models.generate_content(model=model, contents="hello", config=PLAIN))
    equal((answer.text, answer.candidates[0].finish_reason), (ANSWER, types.FinishReason.STOP), "generate")
    usage = answer.usage_metadata
    equal(usage.total_token_count, usage.prompt_token_count + usage.candidates_token_count, "usage")
    chunks = all_known(client.models.generate_content_stream(model=model, contents="hello", config=PLAIN))
    equal("".join(chunk.text or "" for chunk in chunks), ANSWER, "streamed")
    equal(chunks[-1].candidates[0].finish_reason, types.FinishReason.STOP)
    equal(chunks[-1].usage_metadata.candidates_token_count, usage.candidates_token_count, "usage of the stream")

    answer = known(client.models.generate_content(model=model, contents="weather", config=WITH_TOOLS))
    (call,) = answer.function_calls
    equal((call.name, call.args), ("get_weather", ARGUMENTS), "tool call")
    stream = client.models.generate_content_stream(model=model, contents="weather", config=WITH_TOOLS)
    (streamed,) = (call for chunk in all_known(stream) for call in chunk.function_calls or ())
    equal((streamed.name, streamed.args), ("get_weather", ARGUMENTS), "tool call streamed")
    result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "sunny"})
    turns: list[Any] = [
        types.Content(role="user", parts=[types.Part(text="weather")]),
        answer.candidates[0].content,
        types.Content(role="user", parts=[types.Part(function_response=result)]),
    ]
    answer = known(client.models.generate_content(model=model, contents=turns, config=WITH_TOOLS))
    equal(answer.candidates[0].finish_reason, types.FinishReason.STOP, "after the tool")
    assert model == "m-mock" or answer.text == TOLD, answer


def real(client: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(max_output_tokens=12, temperature=0)
    answer = known(client.models.generate_content(model=model, contents="hello", config=config))
    equal((len(answer.text), answer.candidates[0].finish_reason), (12, types.FinishReason.MAX_TOKENS))
    chunks = all_known(client.models.generate_content_stream(model=model, contents="hello", config=config))
    equal("".join(chunk.text or "" for chunk in chunks), answer.text, "streamed")


def failures(client: genai.Client, model: str) -> None:
    for status, kind, code in (
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (500, errors.ServerError, "INTERNAL"),
    ):
        said = f"fail with {status}"
        for ask in (
            lambda said=said: client.models.generate_content(model=model, contents=said),
            lambda said=said: list(client.models.generate_content_stream(model=model, contents=said)),
        ):
            error = raises(kind, ask)
            assert f"a rehearsed {status}" in str(error.message), error.message
            if code != "INTERNAL":  # a vendor's 500 is our 502, which Google has no word of its own for
                equal((error.code, error.status), (status, code))
    breaks(lambda: client.models.generate_content_stream(model=model, contents="truncated"), errors.APIError)


def refusals(client: genai.Client) -> None:
    wrong = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=URL))
    many = types.GenerateContentConfig(candidate_count=-1)
    for status, call in (
        (400, lambda: client.models.generate_content(model="m-mock", contents="x", config=many)),
        (404, lambda: client.models.generate_content(model="no-such", contents="x")),
        (404, lambda: client.models.get(model="no-such")),
        (401, lambda: wrong.models.generate_content(model="m-mock", contents="x")),
    ):
        equal(raises(errors.ClientError, call).code, status)
    wrong.close()


def main() -> None:
    begin()
    warnings.filterwarnings("ignore", "FUNCTION_CALL is not a valid FinishReason")  # aimock's own; Google says STOP
    for version in ("v1beta", "v1"):  # v1beta is the package's default, v1 what it is told to use for stable models
        options = types.HttpOptions(base_url=URL, api_version=version)
        with genai.Client(api_key=KEY, http_options=options) as client:
            for model in MODELS if version == "v1beta" else MODELS[:1]:
                generate(client, model)
                if model != "m-mock":
                    failures(client, model)
            for model in LLAMAS:
                real(client, model)
            refusals(client)
            assert known(client.models.count_tokens(model="m-llama", contents="hello")).total_tokens > 0
            for texts in (["hello", "you"], "hello"):
                made = known(client.models.embed_content(model="m-chat", contents=texts))
                equal([len(each.values) for each in made.embeddings], [3] * (1 if texts == "hello" else 2))
            names = [known(model).name for model in client.models.list()]
            assert {f"models/{model}" for model in MODELS} <= set(names), names
            equal(known(client.models.get(model=MODELS[0])).name, f"models/{MODELS[0]}")
    print(genai.__version__)


main()
