// The page: orders out of the form, their events onto the screen, and what is found again after a reload.

import { add, take } from "./gallery.js";
import { Editor } from "./mask.js";
import * as memory from "./memory.js";
import { enlist } from "./queue.js";
import { Away, call, door, follow, json, picture, Problem, pulse } from "./server.js";

const find = (id) => document.getElementById(id);
const form = find("order");
const editor = new Editor(find("editor"));
/** Jobs of this page that have not ended, by name. */
const active = new Map();
/** Whether the picture that is shown is a preview. */
let previewed = false;
/** Whether the form knows what the server offers. */
let offered = false;
/** Whether the server answered when it was last asked. */
let there = true;

/** Words at the foot of the picture. */
function say(text) {
  find("status").textContent = text;
}

/** What should be known of the picture that is shown. */
function warn(messages) {
  find("warnings").replaceChildren(
    ...messages.map((message) => {
      const item = document.createElement("li");
      item.textContent = message;
      return item;
    }),
  );
}

function complain(error) {
  const problem = find("problem");
  problem.hidden = !error;
  problem.textContent = error?.message ?? "";
  problem.dataset.away = String(error instanceof Away);
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  const field = error?.field && form.elements[error.field];
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

/** The token, asked for in a dialog, once for all who need it. */
let asking = null;
door.ask = () => {
  asking ??= new Promise((resolve) => {
    find("login-form").onsubmit = () => resolve(find("token").value);
    find("login").oncancel = () => resolve(null);
    find("login").showModal();
  }).finally(() => {
    asking = null;
  });
  return asking;
};

/** Says whether the server is there; once it is back, what was missed is made up for. */
door.there = (is) => {
  const back = is && !there;
  there = is;
  const server = find("server");
  server.classList.toggle("wrong", !is);
  if (!is) server.textContent = "The server does not answer. This page goes on once it is back.";
  if (!back) return;
  server.textContent = "connected";
  if (find("problem").dataset.away === "true") complain(null);
  setUp().catch(complain);
};

/** The size that is asked for; 0 where nothing is said. */
function asked() {
  return { width: Number(form.elements.width.value), height: Number(form.elements.height.value) };
}

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
    body.set("init_image", await editor.upload(asked()), "start");
    const mask = await editor.uploadedMask(asked());
    if (mask) {
      body.set("mask", mask, "mask");
      body.set("keep_unmasked", String(values.has("keep_unmasked")));
    }
  }
  return body;
}

/** Texts into the fields of their names; what is no field stays out. */
function fill(values) {
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements[name];
    if (!field || field.type === "file" || value === "(picture)") continue;
    if (field.type === "checkbox") field.checked = Boolean(value);
    else field.value = value;
  }
}

/** Keeps the form for the next visit; not before it is whole. */
function keep() {
  if (!offered) return;
  const fields = [...form.elements].filter((field) => field.name);
  const value = (field) => (field.type === "checkbox" ? field.checked : field.value);
  memory.form.set(Object.fromEntries(fields.map((field) => [field.name, value(field)])));
}

/** Fields of an earlier job back into the form, and of that job alone: the start picture goes. */
async function use(params) {
  form.reset();
  await replace(null);
  fill(params);
  keep();
  editor.tell(asked());
  if (params.init_image) say("The picture that it started from is not kept here: choose it again.");
  form.elements.prompt.focus();
}

/** Another picture to start from, or none. */
async function replace(blob) {
  find("file").value = "";
  await editor.load(blob);
}

/** A picture as the one to start from. */
async function start(url) {
  await replace(await (await fetch(url)).blob());
  find("start").open = true;
  find("mask").focus();
}

async function remove(id) {
  await call(`/v1/jobs/${id}`, { method: "DELETE" });
  forget(id);
}

/** A job that the server has no more. */
function forget(id) {
  memory.jobs.remove(id);
  take(id);
}

const guarded = (act) => (...given) => act(...given).catch(complain);
const actions = { use: guarded(use), start: guarded(start), remove: guarded(remove) };

function showImage(url, alt) {
  const image = find("image");
  const before = previewed && image.src;
  image.src = url;
  image.alt = alt;
  image.hidden = false;
  if (before) URL.revokeObjectURL(before);
  previewed = false;
  find("empty").hidden = true;
}

/** A finished picture of a job into the gallery. */
async function hang(job, image) {
  const url = await picture(image.url);
  add({ job, image }, url, actions);
  return url;
}

/** What each event of a job does to the page. */
const events = {
  queued: (task, { position }) => task.shows(`waiting, number ${position} in the queue`, 0),
  running: (task) => task.shows("starting"),
  fetch: (task, { file, done, total }) =>
    task.shows(`fetching ${file}: ${total ? Math.round((100 * done) / total) : "?"} %`),
  stage: (task, { stage, what }) => task.shows(`${stage} ${what}`),
  progress: (task, { step, total, percent }) => task.shows(`step ${step} of ${total}`, percent),
  preview: (_, { image, format }) => {
    const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
    showImage(URL.createObjectURL(new Blob([bytes], { type: `image/${format}` })), "preview");
    previewed = true;
  },
  image: async ({ job }, image) => {
    showImage(await hang(job, image), job.params.prompt);
    warn(job.warnings);
  },
  warning: ({ job }, { message }) => {
    if (!job.warnings.includes(message)) job.warnings.push(message);
    warn(job.warnings);
  },
  complete: (_, { seconds, images }) => say(`done in ${seconds.toFixed(1)} s, seed ${images[0].seed}`),
  cancelled: () => say("cancelled"),
  error: (_, { field, message, hints }) => {
    say("failed");
    complain({ message: [`${field ? `${field}: ` : ""}${message}`, ...hints].join("\n"), field });
  },
};

/** Follows a job up to its end. */
async function watch(job) {
  const id = job.job_id;
  if (active.has(id)) return;
  const line = enlist(job, () => call(`/v1/jobs/${id}`, { method: "DELETE" }).catch((error) => {
    complain(error);
    throw error;
  }));
  active.set(id, line);
  const shows = (text, percent) => {
    line.shows(text, percent);
    if (percent || active.size === 1) say(text);
  };
  try {
    await follow(job.stream_url, (name, data) => events[name]?.({ job, shows }, data));
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    forget(id);
    say("The server has lost this job: order it again.");
  } finally {
    active.delete(id);
    line.leaves();
  }
}

async function draw() {
  complain(null);
  const button = form.querySelector(".primary");
  button.disabled = true;
  try {
    const { job_id: id } = await json("/v1/jobs", { method: "POST", body: await order() });
    memory.jobs.add(id);
    watch(await json(`/v1/jobs/${id}`)).catch(complain);
  } finally {
    button.disabled = false;
  }
}

function option(value, text, title) {
  const option = new Option(text, value);
  option.title = title ?? "";
  return option;
}

/** What the server offers, once. */
async function offer() {
  const [models, names] = [await json("/v1/models"), await json("/v1/samplers")];
  if (offered) return;
  for (const model of models.data) {
    const text = model.cached ? model.id : `${model.id} (to be downloaded)`;
    form.elements.model.append(option(model.id, text, model.about));
  }
  for (const sampler of names.samplers) {
    form.elements.sampler.append(option(sampler.name, sampler.name, sampler.about));
  }
  const { model, sampler } = memory.form.get();
  if (models.data.some(({ id }) => id === model)) form.elements.model.value = model;
  form.elements.sampler.value = sampler ?? "";
  if (form.elements.sampler.selectedIndex < 0) form.elements.sampler.value = "";
  offered = true;
}

/** The jobs of this browser that the server still has: those that ended into the gallery, the others watched on. */
async function findAgain() {
  const listed = new Map((await json("/v1/jobs?limit=100")).jobs.map((job) => [job.job_id, job]));
  for (const id of memory.jobs.all().filter((id) => !active.has(id))) {
    const absent = (error) => (error.status === 404 ? null : Promise.reject(error));
    const job = listed.get(id) ?? (await json(`/v1/jobs/${id}`).catch(absent));
    if (!job) forget(id);
    else if (["queued", "running"].includes(job.state)) watch(job).catch(complain);
    else await findPictures(job);
  }
}

async function findPictures(job) {
  for (const image of job.images) {
    const known = document.querySelector(`#gallery [data-job="${job.job_id}"][data-index="${image.index}"]`);
    if (!known) await hang(job, image);
  }
}

/** One at a time, whoever asks for it. */
let settingUp = null;
function setUp() {
  settingUp ??= (async () => {
    if (!offered) await offer();
    find("server").textContent = "connected";
    await findAgain();
  })().finally(() => {
    settingUp = null;
  });
  return settingUp;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!form.querySelector(".primary").disabled) draw().catch(complain);
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
form.addEventListener("input", () => {
  keep();
  editor.tell(asked());
});
find("file").addEventListener("change", (event) => {
  complain(null);
  editor.load(event.target.files[0] ?? null).catch((error) => {
    event.target.value = "";
    complain(error);
  });
});
find("clear").addEventListener("click", () => editor.clear());
find("remove").addEventListener("click", guarded(() => replace(null)));

fill(memory.form.get());
const kept = await memory.start.get();
if (kept?.blob) {
  find("start").open = true;
  await editor.load(kept.blob, kept.mask).catch(() => {});
}
editor.changed = async () => {
  const mask = editor.file && (await editor.painting());
  await memory.start.set({ blob: editor.file, mask });
};
setUp().catch(complain);
pulse();
