// The official OpenAI client for JavaScript draws, edits, opens links and lists models.
import OpenAI, { APIError, toFile } from "openai";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const [server, apiKey = "none"] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${server}/v1`, apiKey });

function expect(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

async function refused(work, status) {
  const error = await work.then(() => null, (error) => error);
  expect(error instanceof APIError && error.status === status && error.param === "model", `${status}: ${error}`);
}

const isPng = (bytes) => bytes.subarray(1, 4).toString() === "PNG";
const names = (await client.models.list()).data.map(({ id }) => id);
expect(names.includes("demo") && (await client.models.retrieve("demo")).id === "demo", `demo is among ${names}`);
await refused(client.models.retrieve("no-such-model"), 404);

const order = { prompt: "a red circle", size: "64x64", steps: 1, seed: 7 };
const drawn = await client.images.generate({ ...order, model: "gpt-image-1", n: 2 });
expect(drawn.data.length === 2 && drawn.data.every((item) => Object.keys(item).join() === "b64_json"), "base64 alone");
const picture = Buffer.from(drawn.data[0].b64_json, "base64");
expect(isPng(picture), "a picture");
const linked = await client.images.generate({ ...order, response_format: "url" });
const opened = Buffer.from(await (await fetch(linked.data[0].url)).arrayBuffer());
expect(opened.equals(picture), "the link opens the same picture");

const image = await toFile(picture, "image.png", { type: "image/png" });
const edited = await client.images.edit({ image, prompt: "a green square", size: "64x64", steps: 2, response_format: "b64_json" });
expect(isPng(Buffer.from(edited.data[0].b64_json, "base64")), "an edit");
await refused(client.images.generate({ prompt: "a", model: "no-such-model" }), 400);

const entry = createRequire(import.meta.url).resolve("openai");
const { version } = JSON.parse(readFileSync(join(dirname(entry), "package.json")));
console.log("openai", version, "models:", names, "pictures:", drawn.data.length, "edited: yes");
