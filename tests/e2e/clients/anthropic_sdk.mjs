// npm: @anthropic-ai/sdk.
import assert from "node:assert/strict";
import { answer, breaks, city, collect, key, llamas, load, models, told, url, weather } from "./strict.mjs";

const { default: Anthropic } = await load("@anthropic-ai/sdk");
const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const tools = [{ name: "get_weather", description: "the weather", input_schema: city }];

async function messages(model) {
  const ask = { model, messages: [{ role: "user", content: "hello" }], max_tokens: 100 };
  const whole = await client.messages.create(ask);
  assert.deepEqual([whole.content[0].text, whole.stop_reason], [answer, "end_turn"]);
  const events = await collect(await client.messages.create({ ...ask, stream: true }));
  assert.equal(events.at(-1).type, "message_stop");
  const stream = client.messages.stream(ask);
  assert.equal(await stream.finalText(), answer);
  const final = await stream.finalMessage();
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
  const asked = { ...ask, tools, messages: [{ role: "user", content: "weather" }] };
  const called = await client.messages.create(asked);
  const streamed = await client.messages.stream(asked).finalMessage();
  for (const { content, stop_reason } of [called, streamed]) {
    assert.equal(stop_reason, "tool_use");
    assert.deepEqual(content.map((block) => [block.type, block.name, block.input]), [["tool_use", "get_weather", weather]]);
  }
  const result = { type: "tool_result", tool_use_id: called.content[0].id, content: "sunny" };
  asked.messages.push({ role: "assistant", content: called.content }, { role: "user", content: [result] });
  const after = await client.messages.create(asked);
  assert.equal(after.stop_reason, "end_turn");
  if (model !== "m-mock") assert.equal(after.content[0].text, told);
}

async function failures(model) {
  const say = (content, stream) =>
    client.messages.create({ model, messages: [{ role: "user", content }], max_tokens: 9, stream });
  const kinds = { 400: Anthropic.BadRequestError, 429: Anthropic.RateLimitError, 500: Anthropic.InternalServerError };
  for (const [status, kind] of Object.entries(kinds)) {
    for (const stream of [false, true]) await assert.rejects(say(`fail with ${status}`, stream), kind);
  }
  await breaks(() => say("truncated", true), Anthropic.APIError);
}

for (const model of models) {
  await messages(model);
  if (model !== "m-mock") await failures(model);
}
for (const model of llamas) {
  const ask = { model, messages: [{ role: "user", content: "hello" }], max_tokens: 12, temperature: 0 };
  const whole = await client.messages.create(ask);
  assert.equal(whole.stop_reason, "max_tokens");
  assert.equal(await client.messages.stream(ask).finalText(), whole.content[0].text);
}
const counted = await client.messages.countTokens({ model: "m-llama", messages: [{ role: "user", content: "hello" }] });
assert.ok(counted.input_tokens > 0);
const listed = (await collect(client.models.list())).map((model) => model.id);
assert.ok(models.every((model) => listed.includes(model)));
await assert.rejects(client.models.retrieve("no-such"), Anthropic.NotFoundError);
