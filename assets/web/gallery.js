// The pictures of this session: small ones in a list, one large with what is known about it.

import { json, picture } from "./server.js";

const find = (id) => document.getElementById(id);

/** Adds a picture; `use` takes its settings, `start` the picture itself. */
export function add(made, url, { use, start }) {
  const button = document.createElement("button");
  button.type = "button";
  const image = document.createElement("img");
  image.src = url;
  image.alt = made.params.prompt;
  button.append(image);
  button.addEventListener("click", () => show(made, url, { use, start }));
  const item = document.createElement("li");
  item.append(button);
  find("gallery").prepend(item);
}

function facts(made) {
  const { width, height, seed } = made.image;
  const rows = { size: `${width}x${height}`, ...made.params, seed };
  delete rows.count;
  const list = find("facts");
  list.replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name.replaceAll("_", " ");
    text.textContent = String(value);
    list.append(term, text);
  }
}

function show(made, url, { use, start }) {
  const dialog = find("details");
  const large = find("large");
  large.src = url;
  large.alt = made.params.prompt;
  facts(made);
  const save = find("save");
  save.href = url;
  save.download = `sdgen-${made.image.seed}.png`;
  const then = (act) => () => {
    dialog.close();
    act();
  };
  find("reuse").onclick = then(() => use({ ...made.params, seed: made.image.seed, count: 1 }));
  find("again").onclick = then(() => start(url));
  find("close").onclick = () => dialog.close();
  dialog.showModal();
}

/** Jobs of this session that the server still has, oldest first. */
export async function remembered(ids, actions) {
  for (const id of ids) {
    const job = await json(`/v1/jobs/${id}`).catch(() => null);
    for (const image of job?.images ?? []) {
      add({ params: job.params, image }, await picture(image.url), actions);
    }
  }
}
