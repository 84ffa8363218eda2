// What the scripts of JavaScript clients share: `node SCRIPT MODULES URL KEY MODEL...` holds the conversation with each
// model, in every way the client has, and prints a line for each: way, its dialect, model, and what went wrong, if anything.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, url, key, ...models] = process.argv.slice(2);
export { key, url };

const require = createRequire(pathToFileURL(`${modules}/x.js`));
export const load = (name) => import(pathToFileURL(require.resolve(name)));

export const questions = [1, 2, 3].map((number) => `Question ${number}`);
export const cat = // a red pixel, PNG
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==";
export const described = { get_note: "what the note of this name says", get_picture: "the picture of this name" };
export const named = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

export function note(name) {
  if (name === "missing") throw new Error("there is no such note");
  return `note ${name} says forty-two`;
}

// A way: its dialect, and what holds the conversation and returns the answers.
export async function converse(ways) {
  for (const [way, [dialect, hold]] of Object.entries(ways)) {
    for (const model of models) {
      let problem = "";
      try {
        const done = await hold(model);
        assert.deepEqual(done, questions.map((question) => `Done: ${question}.`));
      } catch (error) {
        problem = (error.stack ?? `${error}`) + (error.responseBody ?? "");
      }
      console.log(JSON.stringify([way, dialect, model, problem]));
    }
  }
}
