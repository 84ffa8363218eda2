// What the scripts of JavaScript clients share. A client is found in .venv/node, where `make test` has put it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

export const [modules, url, key, ...models] = process.argv.slice(2);
export const llamas = ["m-llama", "m-llama-chat", "m-llama-messages"];
export const answer = "This is a mock answer to: hello";
export const told = "It is sunny in Oslo, and likely to stay so for the next few days.";
export const city = { type: "object", properties: { city: { type: "string", enum: ["Oslo"] } }, required: ["city"] };
export const weather = { city: "Oslo" };

const require = createRequire(pathToFileURL(`${modules}/x.js`));
export const load = (name) => import(pathToFileURL(require.resolve(name)));

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

// A stream of a truncated answer must throw, never end as if it were whole.
export async function breaks(events, kind) {
  await assert.rejects(async () => collect(await events()), kind);
}

process.on("warning", (warning) => {
  throw warning;
});
