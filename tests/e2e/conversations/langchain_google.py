"""``langchain-google-genai``, streamed."""

from __future__ import annotations

import base64
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI

from tests.e2e.conversations.pictures import CAT
from tests.e2e.conversations.shared import KEY, QUESTIONS, URL, converse, note


@tool
def get_note(name: str) -> str:
    """what the note of this name says"""
    return note(name)


@tool
def get_picture(name: str) -> list[dict[str, Any]]:
    """the picture of this name"""
    picture = {"type": "image", "base64": base64.b64encode(CAT).decode(), "mime_type": "image/png"}
    return [{"type": "text", "text": "a cat"}, picture]


TOOLS = {each.name: each for each in (get_note, get_picture)}


async def run(call: Any) -> ToolMessage:
    try:
        return await TOOLS[call["name"]].ainvoke(call)
    except ValueError as error:
        return ToolMessage(str(error), tool_call_id=call["id"], name=call["name"], status="error")


async def talk(model: str) -> list[str]:
    llm = ChatGoogleGenerativeAI(model=model, base_url=URL, google_api_key=KEY, max_retries=0)
    able = llm.bind_tools(list(TOOLS.values()))
    history: list[BaseMessage] = []
    done = []
    for question in QUESTIONS:
        history.append(HumanMessage(question))
        while True:
            whole: Any = None
            async for chunk in able.astream(history):
                whole = chunk if whole is None else whole + chunk
            history.append(whole)
            if not whole.tool_calls:
                done.append(whole.text)
                break
            history += [await run(call) for call in whole.tool_calls]
    return done


converse({"langchain-google-genai": ("gemini", talk)})
