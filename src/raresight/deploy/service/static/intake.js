// From what was dropped or chosen to a few uploads at a time.

/** Do tasks in order, a few at once. */
export class Queue {
  constructor(parallel, work, idle) {
    this.parallel = parallel;
    this.work = work;
    this.idle = idle;
    this.waiting = [];
    this.running = 0;
  }

  add(tasks) {
    this.waiting.push(...tasks);
    this.next();
  }

  clear() {
    this.waiting = [];
  }

  next() {
    while (this.running < this.parallel && this.waiting.length) {
      this.running++;
      this.work(this.waiting.shift()).finally(() => {
        this.running--;
        if (!this.running && !this.waiting.length) this.idle();
        else this.next();
      });
    }
  }
}

/** Give the files of a drop, those in folders too, as many as `most`. */
export async function dropped(transfer, most) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  while (entries.length && files.length < most) {
    const entry = entries.shift();
    if (entry.isFile) files.push(await new Promise((go, stop) => entry.file(go, stop)));
    else entries.push(...(await inside(entry)));
  }
  return files;
}

async function inside(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((go, stop) => reader.readEntries(go, stop));
    if (!some.length) return found.filter((entry) => !entry.name.startsWith("."));
    found.push(...some);
  }
}

/** Watch the page for files that are dropped on it. */
export function onDrop(zone, take) {
  let depth = 0;
  const holds = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (change) => {
    depth = Math.max(0, change ? depth + change : 0);
    zone.toggleAttribute("data-over", depth > 0);
  };
  addEventListener("dragenter", (event) => holds(event) && mark(1));
  addEventListener("dragleave", (event) => holds(event) && mark(-1));
  addEventListener("dragover", (event) => holds(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    mark(0);
    take(event.dataTransfer);
  });
}
