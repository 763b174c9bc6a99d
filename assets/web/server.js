// The server as functions: requests with the token, events of a job, pictures as object URLs.

const KEY = "sdgen-token";

/** Asked for a token when the server wants one; set by the page. */
export const door = { ask: async () => null };

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

/** What the server says is wrong, with the words for people. */
export class Problem extends Error {
  constructor(body, status) {
    const others = (body.others ?? []).map((other) => `${other.field ?? ""}: ${other.message}`);
    const first = `${body.field ? `${body.field}: ` : ""}${body.detail ?? `status ${status}`}`;
    super([first, ...others, ...(body.hints ?? [])].join("\n"));
    this.field = body.field;
    this.status = status;
  }
}

/** A request; asks for the token once if need be. */
export async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  if (response.status === 401) {
    const token = await door.ask();
    if (token) {
      sessionStorage.setItem(KEY, token);
      return call(path, options);
    }
  }
  if (!response.ok) throw new Problem(await response.json().catch(() => ({})), response.status);
  return response;
}

/** The answer as JSON. */
export async function json(path, options) {
  return (await call(path, options)).json();
}

/** A picture as a URL of this page. */
export async function picture(path) {
  return URL.createObjectURL(await (await call(path)).blob());
}

/** One event of a stream: its number, name and data. */
function parse(block) {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split("\n")) {
    const [key, value] = [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()];
    if (key === "id") event.id = value;
    if (key === "event") event.name = value;
    if (key === "data") event.data += value;
  }
  return event;
}

/** Hands every event of a job to `hear`, and goes on after a broken connection where it was. */
export async function follow(path, hear) {
  const ends = ["complete", "error", "cancelled"];
  let last = "";
  for (let broken = 0; broken < 20; broken += 1) {
    try {
      const response = await call(path, { headers: last ? { "Last-Event-ID": last } : {} });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        broken = 0;
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks.map(parse).filter((event) => event.data)) {
          last = block.id || last;
          await hear(block.name, JSON.parse(block.data));
          if (ends.includes(block.name)) return;
        }
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500 * Math.min(broken + 1, 10)));
  }
  throw new Error("the connection to the server is lost");
}
