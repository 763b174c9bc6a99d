// The jobs that wait or run: one line each, with how far it is and a button that stops it.

const find = (id) => document.getElementById(id);

/** Adds a job; `cancel` stops it. */
export function enlist(job, cancel) {
  const item = document.createElement("li");
  const [what, how, bar, stop] = ["span", "span", "progress", "button"].map((tag) => document.createElement(tag));
  what.className = "what";
  what.textContent = job.params.prompt || "(no prompt)";
  what.title = what.textContent;
  how.className = "how";
  bar.max = 100;
  bar.setAttribute("aria-label", `Progress of ${what.textContent}`);
  stop.type = "button";
  stop.textContent = "Cancel";
  stop.setAttribute("aria-label", `Cancel ${what.textContent}`);
  stop.addEventListener("click", () => {
    stop.disabled = true;
    cancel().catch(() => {
      stop.disabled = false;
    });
  });
  item.append(what, how, bar, stop);
  find("queue").append(item);
  count();
  return {
    /** Shows how far it is: words, and percent where there are some. */
    shows(text, percent) {
      how.textContent = text;
      if (percent === undefined) bar.removeAttribute("value");
      else bar.value = percent;
    },
    leaves() {
      item.remove();
      count();
    },
  };
}

function count() {
  const jobs = find("queue").children.length;
  find("queue-box").hidden = jobs === 0;
  find("queue-title").textContent = jobs === 1 ? "1 job" : `${jobs} jobs`;
  find("result").setAttribute("aria-busy", String(jobs > 0));
}
