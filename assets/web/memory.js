// What this browser remembers from one visit to the next: the form, its jobs, and the picture to start from.

const [FORM, JOBS, START] = ["sdgen-form", "sdgen-jobs", "start"];
/** Most jobs that are remembered. */
const MOST = 100;

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** A browser that keeps nothing, or has no room, is one that forgets. */
function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    return;
  }
}

/** The form's texts by their names. */
export const form = { get: () => read(FORM, {}), set: (values) => write(FORM, values) };

/** Names of the jobs that were ordered here, the oldest first. */
export const jobs = {
  all: () => read(JOBS, []),
  add: (id) => write(JOBS, [...jobs.all().filter((known) => known !== id), id].slice(-MOST)),
  remove: (id) => write(JOBS, jobs.all().filter((known) => known !== id)),
};

/** Does something with the store of pictures. */
function pictures(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("sdgen", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("pictures");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("pictures", mode);
      const request = work(transaction.objectStore("pictures"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    };
  });
}

/** The picture to start from and its mask, or nothing. */
export const start = {
  get: () => pictures("readonly", (store) => store.get(START)).catch(() => undefined),
  set: (value) => pictures("readwrite", (store) => store.put(value, START)).catch(() => undefined),
};
