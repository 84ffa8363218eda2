// npm: @copilotkit/aimock. The vendor of the conversations, in all of its dialects at once: `node vendor.mjs MODULES`
// prints the port it listens on. What it says follows from the question asked last and the calls it has made.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/x.js`));
const { LLMock } = await import(pathToFileURL(require.resolve("@copilotkit/aimock")));

const patch = `*** Begin Patch
*** Update File: note.txt
@@
-the note says forty-two
+the note says forty-three
*** End Patch`;

const program = (input) => ({ input }); // Codex has the model write JavaScript

// What can be asked for, by the names of the tools that do it: a client offers one of each.
const deeds = {
  note: { get_note: (name) => ({ name }) },
  picture: { get_picture: (name) => ({ name }) },
  read: {
    functions__exec: (path) => program(`text((await tools.exec_command({ cmd: "cat ${path}" })).output)`),
    Read: (path) => ({ file_path: path }),
    read_file: (path) => ({ file_path: path }),
    read: (path) => ({ filePath: path }),
    exec_command: (path) => ({ cmd: `cat ${path}` }),
    shell_command: (path) => ({ command: `cat ${path}` }),
  },
  look: {
    functions__exec: (path) => program(`image(await tools.view_image({ path: "${path}" }))`),
    view_image: (path) => ({ path }),
    Read: (path) => ({ file_path: path }),
    read_file: (path) => ({ file_path: path }),
    read: (path) => ({ filePath: path }),
  },
  edit: {
    functions__exec: () => program(`text(await tools.apply_patch(${JSON.stringify(patch)}))`),
    apply_patch: () => ({ input: patch }),
    Edit: (path) => ({ file_path: path, old_string: "forty-two", new_string: "forty-three" }),
    replace: (path) => ({ file_path: path, old_string: "forty-two", new_string: "forty-three", instruction: "count" }),
    edit: (path) => ({ filePath: path, oldString: "forty-two", newString: "forty-three" }),
    exec_command: (path) => ({ cmd: `sed -i s/forty-two/forty-three/ ${path}` }),
    shell_command: (path) => ({ command: `sed -i s/forty-two/forty-three/ ${path}` }),
  },
  run: {
    functions__exec: (command) => program(`text((await tools.exec_command({ cmd: "${command}" })).output)`),
    Bash: (command) => ({ command, description: "look" }),
    bash: (command) => ({ command, description: "look" }),
    run_shell_command: (command) => ({ command, description: "look" }),
    exec_command: (command) => ({ cmd: command }),
    shell_command: (command) => ({ command }),
  },
};

// What each question leads to: calls, those of one list in parallel, each a deed and what it is done to.
const questions = {
  "Question 1": [[["note", "one"]]],
  "Question 2": [[["note", "two"], ["picture", "cat"]]],
  "Question 3": [[["note", "three"]], [["note", "missing"]]],
  "Errand 1": [[["read", "note.txt"]], [["run", "echo a word from the shell"], ["look", "cat.png"]]],
  "Errand 2": [[["edit", "note.txt"]]],
};

const text = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("\n");

function answer(request) {
  const said = request.messages.filter((message) => message.role === "user").map(text).join("\n");
  const asked = Object.keys(questions).filter((question) => said.includes(question));
  const offered = new Set((request.tools ?? []).map((tool) => tool.function.name));
  if (!asked.length || !offered.size) return { content: "A title" }; // what agents ask beside it
  const steps = asked.flatMap((question) => questions[question]);
  let called = request.messages.flatMap((message) => message.tool_calls ?? []).length;
  for (const step of steps) {
    if (called <= 0) return { toolCalls: step.map((call) => named(call, offered, said)), ...more(request) };
    called -= step.length;
  }
  return { content: `Done: ${asked.at(-1)}.`, reasoning: "All is seen." };
}

function named([deed, object], offered, said) {
  const [tool, input] = Object.entries(deeds[deed]).find(([name]) => offered.has(name)) ?? [];
  if (!tool) throw new Error(`no tool to ${deed} with among ${[...offered].join()}`);
  const folder = /folder ([^\s"]+)/.exec(said)?.[1];
  const given = folder && deed !== "run" ? `${folder}/${object}` : object;
  return { name: tool, arguments: JSON.stringify(input(given)) };
}

const more = ({ model }) => ({
  reasoning: "Let me look first.",
  reasoningSignature: "c2lnbmVkIGJ5IHRoZSB2ZW5kb3I=",
  ...(model.includes("gemini") && { finishReason: "STOP" }), // which Google says of calls too
});

const mock = new LLMock({ host: "127.0.0.1", port: 0, chunkSize: 20, logLevel: "silent" });
mock.on({ predicate: () => true }, answer);
await mock.start();
console.log(`listening on ${mock.port}`);
