// npm: ai, with @ai-sdk/openai, openai-compatible, anthropic and google. A tool's result is a picture.
import { cat, converse, described, key, load, named, note, questions, url } from "./shared.mjs";

const { jsonSchema, stepCountIs, streamText, tool } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createGoogleGenerativeAI } = await load("@ai-sdk/google");
globalThis.AI_SDK_LOG_WARNINGS = false;

const inputSchema = jsonSchema(named);
const tools = {
  get_note: tool({ description: described.get_note, inputSchema, execute: ({ name }) => note(name) }),
  get_picture: tool({
    description: described.get_picture,
    inputSchema,
    execute: () => cat,
    toModelOutput: ({ output }) => ({
      type: "content",
      value: [{ type: "text", text: "a cat" }, { type: "media", mediaType: "image/png", data: output }],
    }),
  }),
};

const hold = (provider, providerOptions = {}) => async (name) => {
  const messages = [];
  const done = [];
  for (const content of questions) {
    messages.push({ role: "user", content });
    let failure;
    const result = streamText({
      model: provider(name),
      messages,
      tools,
      maxRetries: 0,
      providerOptions,
      stopWhen: stepCountIs(5),
      onError: ({ error }) => (failure = error),
    });
    await result.consumeStream();
    if (failure) throw failure;
    messages.push(...(await result.response).messages);
    done.push(await result.text);
  }
  return done;
};

const settings = { apiKey: key, baseURL: `${url}/v1` };
const openai = createOpenAI(settings);
const responses = (name) => openai.responses(name);
await converse({
  "AI SDK openai": ["responses", hold(responses)], // which refers to its earlier answers by their ids
  "AI SDK openai, store: false": ["responses", hold(responses, { openai: { store: false } })],
  "AI SDK openai chat": ["chat", hold((name) => openai.chat(name))],
  "AI SDK openai-compatible": ["chat", hold(createOpenAICompatible({ name: "llmedge", ...settings }))],
  "AI SDK anthropic": ["anthropic", hold(createAnthropic(settings))],
  "AI SDK google": ["gemini", hold(createGoogleGenerativeAI({ ...settings, baseURL: `${url}/v1beta` }))],
});
