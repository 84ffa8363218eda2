"""What clients may say beside the cases, each in every dialect that has words for it."""

from __future__ import annotations

from typing import Any

from tests.dialects.matrix import cases

_URL = "https://example.com/cat.png"
_PNG = f"data:image/png;base64,{cases.IMAGE}"
_PDF = "JVBERi0="
_CHAT: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": cases.SCHEMA}}
_RESPONSES = {"type": "function", "name": "weather", "parameters": cases.SCHEMA, "strict": False}
_ANTHROPIC = {"name": "weather", "input_schema": cases.SCHEMA}
_GEMINI = {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": cases.SCHEMA}]}
_ANTHROPIC_PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": cases.IMAGE}}


def _chat(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts), **more}]}


def _responses(*parts: Any) -> dict[str, Any]:
    return {"input": [{"type": "message", "role": "user", "content": list(parts)}]}


def _gemini(*parts: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}]}


def _anthropic_result(**more: Any) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": "c", "content": "r", **more}
    said = [{"type": "tool_use", "id": "c", "name": "weather", "input": {}}]
    turns = [{"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
    return {"messages": [{"role": "user", "content": "q"}, *turns], "tools": [_ANTHROPIC]}


def _gemini_result(**more: Any) -> dict[str, Any]:
    result = {"functionResponse": {"id": "c", "name": "weather", "response": {"output": "r"}, **more}}
    call = {"functionCall": {"id": "c", "name": "weather", "args": {}}}
    turns = [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    return {"contents": [*_gemini({"text": "q"})["contents"], *turns], "tools": [_GEMINI]}


def _chat_answer(**more: Any) -> dict[str, Any]:
    """The assistant said ``more``."""
    turns = [("user", {"content": "q"}), ("assistant", more), ("user", {"content": "q"})]
    return {"messages": [{"role": role, **said} for role, said in turns]}


def _responses_answer(*items: dict[str, Any]) -> dict[str, Any]:
    asked = {"type": "message", "role": "user", "content": "q"}
    return {"input": [asked, *items, asked]}


def _gemini_answer(*parts: dict[str, Any]) -> dict[str, Any]:
    asked = {"role": "user", "parts": [{"text": "q"}]}
    return {"contents": [asked, {"role": "model", "parts": list(parts)}, asked]}


def _document(**more: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, **more}


def _cited(**citation: Any) -> dict[str, Any]:
    return _chat_answer(content=[{"type": "text", "text": "a", "citations": [citation]}])


def _json_answer(**more: Any) -> dict[str, Any]:
    return {"name": "weather", "schema": cases.SCHEMA, **more}


_GOOGLE = {"extra_content": {"google": {"thought_signature": "Uw=="}}}
_CALL = {"name": "weather", "arguments": "{}"}

FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "image by URL": {
        "openai_chat": _chat({"type": "image_url", "image_url": {"url": _URL}}),
        "openai_responses": _responses({"type": "input_image", "image_url": _URL}),
        "anthropic": _chat({"type": "image", "source": {"type": "url", "url": _URL}}),
        "gemini": _gemini({"fileData": {"mimeType": "image/png", "fileUri": _URL}}),
    },
    "an image's detail": {
        "openai_chat": _chat({"type": "image_url", "image_url": {"url": _PNG, "detail": "low"}}),
        "openai_responses": _responses({"type": "input_image", "image_url": _PNG, "detail": "low"}),
        "gemini": _gemini(
            {
                "inlineData": {"mimeType": "image/png", "data": cases.IMAGE},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
            }
        ),
    },
    "audio": {
        "openai_chat": _chat({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}),
        "openai_responses": _responses({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}),
        "gemini": _gemini({"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}}),
    },
    "PDF": {
        "openai_chat": _chat(
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{_PDF}", "filename": "a.pdf"}}
        ),
        "openai_responses": _responses(
            {"type": "input_file", "file_data": f"data:application/pdf;base64,{_PDF}", "filename": "a.pdf"}
        ),
        "anthropic": _chat(
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF}}
        ),
        "gemini": _gemini({"inlineData": {"mimeType": "application/pdf", "data": _PDF}}),
    },
    "citations of a document": {"anthropic": _chat(_document(citations={"enabled": True}))},
    "a text document's title": {"anthropic": _chat(_document(title="t"))},
    "a document's context": {"anthropic": _chat(_document(context="c"))},
    "a participant's name": {"openai_chat": _chat({"type": "text", "text": "q"}, name="bob")},
    "system message in the middle": {
        "openai_chat": {"messages": [{"role": role, "content": "q"} for role in ("user", "system", "user")]},
        "openai_responses": {"input": [{"role": role, "content": "q"} for role in ("user", "system", "user")]},
        "anthropic": {"messages": [{"role": role, "content": "q"} for role in ("user", "system", "user")]},
    },
    "prompt cache marks": {
        "anthropic": _chat({"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}),
        "openai_chat": _chat({"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}),
    },
    "thoughts of earlier answers": {
        "openai_responses": _responses_answer(
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "t"}],
                "encrypted_content": "Uw==",
            }
        ),
        "anthropic": _chat_answer(content=[{"type": "thinking", "thinking": "t", "signature": "Uw=="}]),
        "gemini": _gemini_answer({"text": "t", "thought": True, "thoughtSignature": "Uw=="}, {"text": "a"}),
    },
    "redacted thoughts": {"anthropic": _chat_answer(content=[{"type": "redacted_thinking", "data": "Uw=="}])},
    "a tool call's signature": {
        "openai_chat": _chat_answer(tool_calls=[{"id": "c", "type": "function", "function": _CALL, **_GOOGLE}]),
        "openai_responses": _responses_answer({"type": "function_call", "call_id": "c", **_CALL, **_GOOGLE}),
        "gemini": _gemini_answer({"functionCall": {"id": "c", "name": "weather"}, "thoughtSignature": "Uw=="}),
    },
    "audio of earlier answers": {"openai_chat": _chat_answer(audio={"id": "audio_1"})},
    "cited passages": {
        "anthropic": _cited(
            type="char_location",
            cited_text="x",
            document_index=1,
            document_title="t",
            file_id="file_1",
            start_char_index=1,
            end_char_index=2,
        ),
    },
    "cited pages of the web": {
        "openai_responses": _responses_answer(
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "a",
                        "annotations": [
                            {"type": "url_citation", "url": _URL, "title": "t", "start_index": 1, "end_index": 1}
                        ],
                    }
                ],
            }
        ),
        "anthropic": _cited(
            type="web_search_result_location", cited_text="x", url=_URL, title="t", encrypted_index="Uw=="
        ),
    },
    "image in a tool's result": {
        "openai_responses": {
            "input": [
                {"role": "user", "content": "q"},
                {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_image", "image_url": _PNG}],
                },
            ],
            "tools": [_RESPONSES],
        },
        "anthropic": _anthropic_result(content=[_ANTHROPIC_PNG]),
        "gemini": _gemini_result(parts=[{"inlineData": {"mimeType": "image/png", "data": cases.IMAGE}}]),
    },
    "a tool's result is an error": {
        "anthropic": _anthropic_result(is_error=True),
        "gemini": _gemini_result(response={"error": "no"}),
    },
    "a tool must be called": {
        "openai_chat": {"tools": [_CHAT], "tool_choice": "required"},
        "openai_responses": {"tools": [_RESPONSES], "tool_choice": "required"},
        "anthropic": {"tools": [_ANTHROPIC], "tool_choice": {"type": "any"}},
        "gemini": {"tools": [_GEMINI], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    },
    "only some of the tools": {
        "openai_chat": {
            "tools": [_CHAT],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_CHAT]}},
        },
        "openai_responses": {
            "tools": [_RESPONSES],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "weather"}],
            },
        },
        "gemini": {
            "tools": [_GEMINI],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather", "other"]}},
        },
    },
    "one call at a time": {
        "openai_chat": {"tools": [_CHAT], "parallel_tool_calls": False},
        "openai_responses": {"tools": [_RESPONSES], "parallel_tool_calls": False},
        "anthropic": {"tools": [_ANTHROPIC], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    },
    "arguments kept to the schema": {
        "openai_chat": {"tools": [{"type": "function", "function": {**_CHAT["function"], "strict": True}}]},
        "openai_responses": {"tools": [{**_RESPONSES, "strict": True}]},
        "anthropic": {"tools": [{**_ANTHROPIC, "strict": True}]},
        "gemini": {"tools": [_GEMINI], "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}},
    },
    "tools of the vendor's own": {
        "openai_responses": {"tools": [{"type": "web_search"}]},
        "anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "gemini": {"tools": [{"googleSearch": {}}]},
    },
    "tools of the vendor's own, beside others": {
        "openai_chat": {"tools": [_CHAT, {"type": "openrouter:web_search"}]},
        "openai_responses": {"tools": [_RESPONSES, {"type": "web_search"}]},
        "anthropic": {"tools": [_ANTHROPIC, {"type": "web_search_20250305", "name": "web_search"}]},
        "gemini": {"tools": [_GEMINI, {"googleSearch": {}}]},
    },
    "what such tools found": {
        "openai_responses": _responses_answer(
            {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "x"}},
        ),
        "anthropic": _chat_answer(
            content=[
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s",
                    "content": [{"type": "web_search_result", "title": "t", "url": _URL, "encrypted_content": "Uw=="}],
                },
            ]
        ),
        "gemini": _gemini_answer(
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        ),
    },
    "tools the client runs itself": {
        "openai_responses": {"tools": [{"type": "local_shell"}]},
        "anthropic": {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    },
    "custom tools": {
        "openai_chat": {"tools": [{"type": "custom", "custom": {"name": "apply_patch"}}]},
        "openai_responses": {"tools": [{"type": "custom", "name": "apply_patch"}]},
    },
    "tools in a namespace": {
        "openai_responses": {
            "tools": [{"type": "namespace", "name": "agents", "description": "", "tools": [_RESPONSES]}]
        },
    },
    "JSON without a schema": {
        "openai_chat": {"response_format": {"type": "json_object"}},
        "openai_responses": {"text": {"format": {"type": "json_object"}}},
        "gemini": {"generationConfig": {"responseMimeType": "application/json"}},
    },
    "a schema's description": {
        "openai_chat": {"response_format": {"type": "json_schema", "json_schema": _json_answer(description="d")}},
        "openai_responses": {"text": {"format": {"type": "json_schema", **_json_answer(description="d")}}},
    },
    "summaries of the thoughts": {
        "openai_responses": {"reasoning": {"effort": "low", "summary": "detailed"}},
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"}},
        "gemini": {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}}},
    },
    "summaries alone": {
        "openai_responses": {"reasoning": {"summary": "detailed"}},
        "gemini": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
    },
    "temperature, top_p": {
        "openai_chat": {"temperature": 0.5, "top_p": 0.5},
        "openai_responses": {"temperature": 0.5, "top_p": 0.5},
        "anthropic": {"temperature": 0.5, "top_p": 0.5},
        "gemini": {"generationConfig": {"temperature": 0.5, "topP": 0.5}},
    },
    "top_k": {
        "openai_chat": {"top_k": 5},
        "anthropic": {"top_k": 5},
        "gemini": {"generationConfig": {"topK": 5}},
    },
    "stop sequences": {
        "openai_chat": {"stop": "END"},
        "anthropic": {"stop_sequences": ["END"]},
        "gemini": {"generationConfig": {"stopSequences": ["END"]}},
    },
    "several answers": {"openai_chat": {"n": 2}, "gemini": {"generationConfig": {"candidateCount": 2}}},
    "seed": {"openai_chat": {"seed": 7}, "gemini": {"generationConfig": {"seed": 7}}},
    "penalties": {
        "openai_chat": {"presence_penalty": 0.5},
        "gemini": {"generationConfig": {"presencePenalty": 0.5}},
    },
    "log probabilities": {
        "openai_chat": {"logprobs": True},
        "openai_responses": {"include": ["message.output_text.logprobs"]},
        "gemini": {"generationConfig": {"responseLogprobs": True}},
    },
    "logit bias": {"openai_chat": {"logit_bias": {"5": 1}}},
    "end user": {
        "openai_chat": {"user": "u"},
        "openai_responses": {"user": "u"},
        "anthropic": {"metadata": {"user_id": "u"}},
    },
    "safety identifier": {
        "openai_chat": {"safety_identifier": "u"},
        "openai_responses": {"safety_identifier": "u"},
    },
    "prompt cache key": {
        "openai_chat": {"prompt_cache_key": "k"},
        "openai_responses": {"prompt_cache_key": "k"},
    },
    "metadata": {
        "openai_chat": {"metadata": {"a": "b"}},
        "openai_responses": {"metadata": {"a": "b"}},
        "gemini": {"labels": {"a": "b"}},
    },
    "service tier": {
        "openai_chat": {"service_tier": "priority"},
        "openai_responses": {"service_tier": "priority"},
        "gemini": {"serviceTier": "priority"},
    },
    "to be stored": {"openai_chat": {"store": True}, "openai_responses": {"store": True}, "gemini": {"store": True}},
    "verbosity": {"openai_chat": {"verbosity": "low"}, "openai_responses": {"text": {"verbosity": "low"}}},
    "hints of its own vendor": {
        "openai_chat": {"prediction": {"type": "content", "content": "x"}},
        "openai_responses": {"client_metadata": {"a": "b"}},
        "anthropic": {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        "gemini": {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
    },
    "phase of an answer": {
        "openai_responses": _responses_answer(
            {"type": "message", "role": "assistant", "phase": "commentary", "content": "a"}
        ),
    },
    "empty fields": {
        "openai_chat": {"logit_bias": {}, "new": [], "tools": []},
        "openai_responses": {"new": {}, "tools": [], "prompt": {}},
        "anthropic": {"mcp_servers": [], "container": "", "new": {}},
        "gemini": {"safetySettings": [], "labels": {}, "cachedContent": ""},
    },
    "settings of its own vendor": {
        "openai_chat": {"web_search_options": {"search_context_size": "low"}},
        "openai_responses": {"background": True},
        "anthropic": {"compaction": {"type": "compaction"}},
        "gemini": {"generationConfig": {"responseModalities": ["IMAGE"]}},
    },
    "content of other kinds": {
        "openai_chat": _chat({"type": "video_url", "video_url": {"url": _URL}}),
        "openai_responses": {"input": [{"type": "compaction", "encrypted_content": "Uw=="}]},
        "anthropic": _chat({"type": "container_upload", "file_id": "file_1"}),
    },
    "what its vendor keeps": {
        "openai_responses": {"previous_response_id": "resp_1"},
        "anthropic": {"thread": {"type": "continue", "previous_message_id": "msg_1"}},
        "gemini": {"cachedContent": "cachedContents/1"},
    },
}
"""What is said → client → the fields that say it, laid over a plain request."""
