// The pictures that were drawn for this browser: small ones in a list, one large with what is known about it.

const find = (id) => document.getElementById(id);

/** Adds a picture of a job, the newest first; `use` takes its settings, `start` the picture itself, `remove` the job. */
export function add(made, url, actions) {
  const button = document.createElement("button");
  button.type = "button";
  const image = document.createElement("img");
  image.src = url;
  image.alt = made.job.params.prompt;
  button.append(image);
  button.addEventListener("click", () => show(made, url, actions));
  const item = document.createElement("li");
  item.dataset.job = made.job.job_id;
  item.dataset.index = made.image.index;
  item.append(button);
  // A job that was begun anew draws its pictures again.
  const before = [...find("gallery").children].find((other) => isOf(other, made.job.job_id, made.image.index));
  if (before) before.replaceWith(item);
  else find("gallery").prepend(item);
}

function isOf(item, job, index) {
  return item.dataset.job === job && (index === undefined || item.dataset.index === String(index));
}

/** Takes the pictures of a job away. */
export function take(job) {
  for (const item of [...find("gallery").children].filter((item) => isOf(item, job))) {
    URL.revokeObjectURL(item.querySelector("img").src);
    item.remove();
  }
}

function facts({ job, image }) {
  const rows = { size: `${image.width}x${image.height}`, ...job.params, seed: image.seed };
  delete rows.count;
  if (job.warnings?.length) rows.warnings = job.warnings.join("\n");
  const list = find("facts");
  list.replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name.replaceAll("_", " ");
    text.textContent = String(value);
    list.append(term, text);
  }
}

function show(made, url, { use, start, remove }) {
  const dialog = find("details");
  const large = find("large");
  large.src = url;
  large.alt = made.job.params.prompt;
  facts(made);
  const save = find("save");
  save.href = url;
  save.download = `sdgen-${made.image.seed}.png`;
  const then = (act) => () => {
    dialog.close();
    act();
  };
  find("reuse").onclick = then(() => use({ ...made.job.params, seed: made.image.seed, count: 1 }));
  find("again").onclick = then(() => start(url));
  find("delete").onclick = then(() => remove(made.job.job_id));
  find("close").onclick = () => dialog.close();
  dialog.showModal();
}
