// npm: @google/genai, with its chats, which keep the history.
import { cat, converse, described, key, load, named, note, questions, url } from "./shared.mjs";

const { GoogleGenAI } = await load("@google/genai");
const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
const functionDeclarations = Object.entries(described).map(([name, description]) => ({
  name,
  description,
  parametersJsonSchema: named,
}));

function result({ id, name, args }) {
  const inlineData = { mimeType: "image/png", data: cat };
  if (name === "get_picture") return { id, name, response: { output: "a cat" }, parts: [{ inlineData }] };
  try {
    return { id, name, response: { output: note(args.name) } };
  } catch (error) {
    return { id, name, response: { error: error.message } };
  }
}

async function hold(model) {
  const chat = client.chats.create({ model, config: { tools: [{ functionDeclarations }] } });
  const done = [];
  for (const question of questions) {
    let message = question;
    for (;;) {
      const calls = [];
      let said = "";
      for await (const chunk of await chat.sendMessageStream({ message })) {
        calls.push(...(chunk.functionCalls ?? []));
        for (const part of chunk.candidates?.[0].content?.parts ?? []) if (!part.thought) said += part.text ?? "";
      }
      if (!calls.length) {
        done.push(said);
        break;
      }
      message = calls.map((call) => ({ functionResponse: result(call) }));
    }
  }
  return done;
}

await converse({ "@google/genai": ["gemini", hold] });
