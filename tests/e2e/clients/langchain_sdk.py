"""``langchain-openai``, over chat completions and over responses."""

from __future__ import annotations

from typing import Any

import langchain_openai
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from openai import RateLimitError

from tests.e2e.clients.strict import ANSWER, ARGUMENTS, CITY, KEY, LLAMAS, MODELS, TOLD, URL, begin, equal, raises

TOOL: dict[str, Any] = {"name": "get_weather", "description": "the weather", "parameters": CITY}


def chat(model: str, responses: bool) -> None:
    options: Any = {"use_responses_api": responses, "stream_usage": True, "max_retries": 0}
    llm = langchain_openai.ChatOpenAI(
        model=model, base_url=f"{URL}/v1", api_key=KEY, max_completion_tokens=99, **options
    )
    answer = llm.invoke("hello")
    assert isinstance(answer, AIMessage)
    equal(answer.text, ANSWER)
    assert answer.usage_metadata, answer
    chunks = list(llm.stream("hello"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    equal((whole.text, whole.usage_metadata), (ANSWER, answer.usage_metadata), "streamed")
    able = llm.bind_tools([{"type": "function", "function": TOOL}])
    called = able.invoke("weather")
    streamed = None
    for chunk in able.stream("weather"):
        streamed = chunk if streamed is None else streamed + chunk
    for said in (called, streamed):
        equal([(call["name"], call["args"]) for call in said.tool_calls], [("get_weather", ARGUMENTS)])
    asked = [HumanMessage("weather"), called, ToolMessage("sunny", tool_call_id=called.tool_calls[0]["id"])]
    told = able.invoke(asked)
    assert not told.tool_calls
    assert model == "m-mock" or told.text == TOLD, told
    if model != "m-mock":
        raises(RateLimitError, lambda: llm.invoke("fail with 429"))


def main() -> None:
    begin()
    for model in MODELS:
        chat(model, responses=False)
        chat(model, responses=True)
    for model in LLAMAS:
        llm = langchain_openai.ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=KEY, max_tokens=12, temperature=0)
        equal("".join(chunk.text for chunk in llm.stream("hello")), llm.invoke("hello").text)
    vectors = langchain_openai.OpenAIEmbeddings(
        model="m-chat", base_url=f"{URL}/v1", api_key=KEY, check_embedding_ctx_length=False
    ).embed_documents(["hello", "you"])
    equal([len(vector) for vector in vectors], [3, 3])


main()
