// The page: an order out of the form, its events onto the screen.

import { add, remembered } from "./gallery.js";
import { Editor } from "./mask.js";
import { call, door, follow, json, picture } from "./server.js";

const find = (id) => document.getElementById(id);
const form = find("order");
const editor = new Editor(find("editor"));
const SESSION = "sdgen-jobs";
let running = null;

/** Words at the foot of the picture. */
function say(text) {
  find("status").textContent = text;
}

function complain(error) {
  const problem = find("problem");
  problem.hidden = !error;
  problem.textContent = error?.message ?? "";
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  const field = error?.field && form.elements[error.field];
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

/** The token, asked for in a dialog. */
door.ask = () =>
  new Promise((resolve) => {
    find("login-form").onsubmit = () => resolve(find("token").value);
    find("login").oncancel = () => resolve(null);
    find("login").showModal();
  });

/** The form as fields of a job, and the pictures that go with it. */
async function order() {
  const values = new FormData(form);
  const body = new FormData();
  for (const [name, value] of values) {
    if (typeof value !== "string" || value === "" || name === "keep_unmasked") continue;
    if (name === "strength" && !editor.file) continue;
    body.set(name, value.trim());
  }
  if (editor.file) {
    body.set("init_image", editor.file, "start");
    const mask = await editor.painting();
    if (mask) {
      body.set("mask", mask, "mask");
      body.set("keep_unmasked", String(values.has("keep_unmasked")));
    }
  }
  return body;
}

/** Fields of an earlier job back into the form. */
function use(params) {
  form.reset();
  for (const [name, value] of Object.entries(params)) {
    const field = form.elements[name];
    if (!field || field.type === "file" || value === "(picture)") continue;
    if (field.type === "checkbox") field.checked = Boolean(value);
    else field.value = value;
  }
  form.elements.prompt.focus();
}

/** A picture as the one to start from. */
async function start(url) {
  await editor.load(await (await fetch(url)).blob());
  find("start").open = true;
  find("mask").focus();
}

const actions = { use, start };

function showImage(url, alt) {
  const image = find("image");
  image.src = url;
  image.alt = alt;
  image.hidden = false;
  find("empty").hidden = true;
}

function busy(job) {
  running = job;
  find("cancel").disabled = !job;
  form.querySelector(".primary").disabled = Boolean(job);
  find("result").setAttribute("aria-busy", String(Boolean(job)));
  const progress = find("progress");
  progress.hidden = !job;
  progress.removeAttribute("value");
}

/** What each event does to the page. */
const events = {
  queued: ({ position }) => say(`waiting, number ${position} in the queue`),
  running: () => say("starting"),
  fetch: ({ file, done, total }) => say(`fetching ${file}: ${total ? Math.round((100 * done) / total) : "?"} %`),
  stage: ({ stage, what }) => say(`${stage} ${what}`),
  progress: ({ step, total, percent }) => {
    find("progress").value = percent;
    say(`step ${step} of ${total}`);
  },
  preview: ({ image, format }) => {
    const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
    showImage(URL.createObjectURL(new Blob([bytes], { type: `image/${format}` })), "preview");
  },
  warning: ({ message }) => say(message),
  cancelled: () => say("cancelled"),
  error: ({ field, message, hints }) => {
    say("failed");
    complain({ message: [`${field ? `${field}: ` : ""}${message}`, ...hints].join("\n"), field });
  },
};

async function arrived(job, image) {
  const url = await picture(image.url);
  showImage(url, job.params.prompt);
  add({ params: job.params, image }, url, actions);
}

async function draw() {
  complain(null);
  const accepted = await json("/v1/jobs", { method: "POST", body: await order() });
  busy(accepted.job_id);
  sessionStorage.setItem(SESSION, JSON.stringify([...known(), accepted.job_id].slice(-50)));
  try {
    const job = await json(`/v1/jobs/${accepted.job_id}`);
    await follow(accepted.stream_url, async (name, data) => {
      if (name === "image") await arrived(job, data);
      if (name === "complete") say(`done in ${data.seconds.toFixed(1)} s, seed ${data.images[0].seed}`);
      events[name]?.(data);
    });
  } finally {
    busy(null);
  }
}

function known() {
  return JSON.parse(sessionStorage.getItem(SESSION) ?? "[]");
}

function option(value, text, title) {
  const option = new Option(text, value);
  option.title = title ?? "";
  return option;
}

/** What the server offers. */
async function setUp() {
  const [models, names] = [await json("/v1/models"), await json("/v1/samplers")];
  for (const model of models.data) {
    const text = model.cached ? model.id : `${model.id} (to be downloaded)`;
    form.elements.model.append(option(model.id, text, model.about));
  }
  for (const sampler of names.samplers) {
    form.elements.sampler.append(option(sampler.name, sampler.name, sampler.about));
  }
  find("server").textContent = "connected";
  await remembered(known(), actions);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) draw().catch(complain);
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
find("cancel").addEventListener("click", () => {
  if (running) call(`/v1/jobs/${running}`, { method: "DELETE" }).catch(complain);
});
find("file").addEventListener("change", (event) => {
  editor.load(event.target.files[0] ?? null).catch(() => complain({ message: "this file is no picture" }));
});
find("clear").addEventListener("click", () => editor.clear());
find("remove").addEventListener("click", () => {
  find("file").value = "";
  editor.load(null);
});
setUp().catch((error) => {
  find("server").textContent = "not connected";
  complain(error);
});
