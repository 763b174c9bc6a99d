// The server as functions: requests with the token, events of a job, pictures as object URLs.

const KEY = "sdgen-token";
/** Milliseconds between two looks at a server that is there, and at one that is not. */
const [PULSE, SEARCH] = [5000, 1000];

/** Asked for a token when the server wants one, and told whether the server is there; set by the page. */
export const door = { ask: async () => null, there: () => {} };

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

/** What the server says is wrong, with the words for people. */
export class Problem extends Error {
  constructor(body, status) {
    const others = (body.others ?? []).map((other) => `${other.field ?? ""}: ${other.message}`);
    const detail = body.detail ?? body.error?.message ?? `status ${status}`;
    const first = `${body.field ? `${body.field}: ` : ""}${detail}`;
    super([first, ...others, ...(body.hints ?? [])].join("\n"));
    this.field = body.field;
    this.status = status;
  }
}

/** The server does not answer. */
export class Away extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

/** A request; asks for the token once if need be. */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch {
    door.there(false);
    throw new Away();
  }
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

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Looks for ever whether the server is there; pages that nobody sees do not ask. */
export async function pulse() {
  for (;;) {
    let there = true;
    if (!document.hidden) {
      there = await call("/health").then(() => true, (error) => !(error instanceof Away));
      door.there(there);
    }
    await pause(there ? PULSE : SEARCH);
  }
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

/** Whether a failure is one that passes: the server is away, or about to be. */
const passes = (error) => error instanceof Away || (error instanceof Problem && error.status === 503);

/** The events of an answer as they come, until it ends or breaks off. */
async function* heard(response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; reader; ) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    yield* blocks.map(parse).filter((event) => event.data);
  }
}

/** Hands every event of a job to `hear`, and goes on where it was once a server that went away is back. */
export async function follow(path, hear) {
  const ends = ["complete", "error", "cancelled"];
  let last = "";
  for (;;) {
    try {
      const response = await call(path, { headers: last ? { "Last-Event-ID": last } : {} });
      // Nothing more to tell, though its end was not heard: it is told from the beginning.
      if (response.status === 204) last = "";
      for await (const { id, name, data } of heard(response)) {
        await hear(name, JSON.parse(data));
        if (ends.includes(name)) return;
        last = id || last;
      }
    } catch (error) {
      if (!passes(error)) throw error;
    }
    await pause(SEARCH);
  }
}
