// The worklist: a table of images, the most anomalous first.

import { WORDS, figure, find, make, percent, shape, write } from "./dom.js";

const RANK = { scored: 0, waiting: 1, failed: 2 };

export class Worklist {
  /** `open(item)` is called when somebody chooses an image. */
  constructor(open) {
    this.open = open;
    this.items = [];
    this.current = null;
    this.by = "score";
    this.down = true;
    this.body = find("rows");
    this.body.addEventListener("keydown", (event) => this.move(event));
    for (const head of document.querySelectorAll("th[data-by]")) {
      head.querySelector("button").addEventListener("click", () => this.sort(head.dataset.by));
    }
  }

  add(items) {
    this.items.push(...items);
    this.draw();
  }

  /** Put what a file turned out to hold, frame by frame, in its place. */
  replace(item, frames) {
    this.items.splice(this.items.indexOf(item), 1, ...frames);
    this.draw();
  }

  clear() {
    this.items = [];
    this.current = null;
    this.draw();
  }

  choose(item) {
    this.current = item;
    this.draw();
    this.open(item);
  }

  /** Where the viewer stands below the list, a finger that chose an image wants to see it; keys stay where they are. */
  press(event, item) {
    this.choose(item);
    const stage = find("stage");
    if (event.detail && stage.getBoundingClientRect().bottom > innerHeight) stage.scrollIntoView({ block: "nearest" });
  }

  sort(by) {
    this.down = by === this.by ? !this.down : by !== "name";
    this.by = by;
    for (const head of document.querySelectorAll("th[data-by]")) {
      if (head.dataset.by !== by) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
    }
    this.draw();
  }

  ordered() {
    const sign = this.down ? -1 : 1;
    const value = (item) => item.prediction?.[this.by];
    const compare = (a, b) => {
      if (this.by === "name") return sign * a.name.localeCompare(b.name, undefined, { numeric: true });
      const rank = RANK[a.state] - RANK[b.state];
      if (rank || a.state !== "scored") return rank || a.number - b.number;
      return sign * ((value(a) ?? -Infinity) - (value(b) ?? -Infinity)) || a.number - b.number;
    };
    return [...this.items].sort(compare);
  }

  /** Draw once a frame, however many images have changed. */
  draw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      this.drawNow();
    });
  }

  drawNow() {
    const items = this.ordered();
    const reached = this.current && items.includes(this.current) ? this.current : items[0];
    const rows = items.map((item) => this.row(item, item === reached));
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    if (rows.length !== this.body.children.length || rows.some((row, at) => row !== this.body.children[at])) {
      this.body.replaceChildren(...rows);
      if (focused?.isConnected) focused.focus({ preventScroll: true });
    }
    const any = items.length > 0;
    find("images").toggleAttribute("data-empty", !any);
    find("list-head").hidden = find("scroll").hidden = !any;
    write(find("progress"), this.summary());
  }

  summary() {
    const count = (state) => this.items.filter((item) => item.state === state).length;
    const scored = count("scored");
    const referred = this.items.filter((item) => item.prediction?.decision === "refer").length;
    const parts = [`${scored} of ${this.items.length} scored`];
    if (referred) parts.push(`${referred} referred`);
    if (count("failed")) parts.push(`${count("failed")} failed`);
    return parts.join(" · ");
  }

  /** Give an image's row, made anew only where what it says has changed. */
  row(item, reached) {
    const open = item === this.current;
    const said = `${item.state} ${item.prediction?.id ?? item.reason} ${item.label} ${open} ${reached}`;
    if (item.row && item.said === said) return item.row;
    item.said = said;
    const kept = item.row ?? make("tr", { click: (event) => this.press(event, item) });
    const had = kept.contains(document.activeElement);
    const one = item.prediction;
    const button = make(
      "button",
      { type: "button", class: "name", tabindex: reached ? 0 : -1, "aria-current": open ? "true" : null },
      make("span", { class: "file", title: item.name }, item.name),
      make("span", { class: `state ${one?.decision ?? item.state}` }, ...state(item)),
    );
    kept.toggleAttribute("data-open", open);
    kept.replaceChildren(
      make("th", { scope: "row" }, button),
      make("td", { class: "number" }, one ? figure(one.score) : "–"),
      make("td", { class: "number" }, one && one.probability !== null ? percent(one.probability) : "–"),
    );
    if (had) button.focus({ preventScroll: true });
    item.row = kept;
    return kept;
  }

  move(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const buttons = [...this.body.querySelectorAll("button.name")];
    const at = buttons.indexOf(document.activeElement);
    const to = Math.min(Math.max(at + steps[event.key], 0), buttons.length - 1);
    buttons.forEach((button, number) => (button.tabIndex = number === to ? 0 : -1));
    buttons[to].focus();
    buttons[to].scrollIntoView({ block: "nearest" });
  }
}

function state(item) {
  if (item.state === "waiting") return ["Waiting"];
  if (item.state === "failed") return [`Failed: ${item.reason}`];
  const { decision, reason } = item.prediction;
  const words = decision === "refer" && reason ? `${WORDS.refer}: ${reason}` : WORDS[decision];
  return [shape(decision), make("span", {}, words)];
}
