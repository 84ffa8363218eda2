// npm: openai.
import assert from "node:assert/strict";
import { answer, breaks, city, collect, key, llamas, load, models, told, url, weather } from "./strict.mjs";

const { default: OpenAI } = await load("openai");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const described = { name: "get_weather", description: "the weather", parameters: city };

async function chat(model) {
  const ask = { model, messages: [{ role: "user", content: "hello" }], max_tokens: 100 };
  const whole = await client.chat.completions.create(ask);
  assert.equal(whole.choices[0].message.content, answer);
  const chunks = await collect(await client.chat.completions.create({ ...ask, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), answer);
  const stream = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
  assert.equal(await stream.finalContent(), answer);
  assert.deepEqual((await stream.totalUsage()).completion_tokens, whole.usage.completion_tokens);
  const asked = { ...ask, messages: [{ role: "user", content: "weather" }], tools: [{ type: "function", function: described }] };
  const called = (await client.chat.completions.create(asked)).choices[0].message;
  const streamed = await client.chat.completions.stream(asked).finalMessage();
  for (const message of [called, streamed]) {
    assert.equal(message.tool_calls.length, 1);
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), weather);
  }
  asked.messages.push(called, { role: "tool", tool_call_id: called.tool_calls[0].id, content: "sunny" });
  const after = await client.chat.completions.create(asked);
  assert.equal(after.choices[0].finish_reason, "stop");
  if (model !== "m-mock") assert.equal(after.choices[0].message.content, told);
}

async function responses(model) {
  const ask = { model, input: "hello", max_output_tokens: 100, store: false };
  const whole = await client.responses.create(ask);
  assert.deepEqual([whole.output_text, whole.status], [answer, "completed"]);
  const stream = client.responses.stream(ask);
  const events = await collect(stream);
  assert.equal(events.at(-1).type, "response.completed");
  assert.deepEqual((await stream.finalResponse()).usage.output_tokens, whole.usage.output_tokens);
  const asked = { ...ask, input: [{ role: "user", content: "weather" }] };
  asked.tools = [{ type: "function", strict: false, ...described }];
  const called = await client.responses.create(asked);
  const streamed = await client.responses.stream(asked).finalResponse();
  for (const { output } of [called, streamed]) {
    const calls = output.filter((item) => item.type === "function_call");
    assert.deepEqual(calls.map((call) => [call.name, JSON.parse(call.arguments)]), [["get_weather", weather]]);
  }
}

async function failures(model) {
  const say = (content, stream) => client.chat.completions.create({ model, messages: [{ role: "user", content }], stream });
  const kinds = { 400: OpenAI.BadRequestError, 429: OpenAI.RateLimitError, 500: OpenAI.InternalServerError };
  for (const [status, kind] of Object.entries(kinds)) {
    for (const stream of [false, true]) await assert.rejects(say(`fail with ${status}`, stream), kind);
  }
  await breaks(() => say("truncated", true), OpenAI.APIError);
  await breaks(() => client.responses.create({ model, input: "truncated", stream: true }), OpenAI.APIError);
}

for (const model of models) {
  await chat(model);
  await responses(model);
  if (model !== "m-mock") await failures(model);
}
for (const model of llamas) {
  const ask = { model, messages: [{ role: "user", content: "hello" }], max_tokens: 12, temperature: 0 };
  const whole = await client.chat.completions.create(ask);
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(await client.chat.completions.stream(ask).finalContent(), whole.choices[0].message.content);
  const final = await client.responses.stream({ model, input: "hello", max_output_tokens: 12, temperature: 0 }).finalResponse();
  assert.equal(final.output_text, whole.choices[0].message.content);
}
// As floats: aimock does not know base64, which is this package's default.
const vectors = await client.embeddings.create({ model: "m-chat", input: ["hello", "you"], encoding_format: "float" });
assert.deepEqual(vectors.data.map((item) => item.embedding.length), [3, 3]);
const listed = (await collect(client.models.list())).map((model) => model.id);
assert.ok(models.every((model) => listed.includes(model)));
await assert.rejects(client.models.retrieve("no-such"), OpenAI.NotFoundError);
await assert.rejects(client.withOptions({ apiKey: "wrong" }).models.list(), OpenAI.AuthenticationError);
