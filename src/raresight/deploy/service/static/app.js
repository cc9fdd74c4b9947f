// The page: what happens when.

import { Api, Refusal } from "./api.js";
import { WORDS, find, percent, sentence, write } from "./dom.js";
import { showModel } from "./detector.js";
import { showDrift } from "./drift.js";
import { showFailure, showFindings, showNothing } from "./findings.js";
import { Queue, dropped, onDrop } from "./intake.js";
import { Viewer } from "./viewer.js";
import { Worklist } from "./worklist.js";

const MOST_FILES = 500;
const PARALLEL = 3;
const REMEMBERED = 12;

const api = new Api(askToken);
const viewer = new Viewer();
const worklist = new Worklist(open);
const queue = new Queue(PARALLEL, score, idle);
const explained = new Map();
let model = null;
let stop = new AbortController();
let opening = null;
let count = 0;

viewer.clear("Open an image from the list");
begin();

async function begin() {
  find("files").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = "";
  });
  onDrop(find("drop"), async (transfer) => take(await dropped(transfer, MOST_FILES + 1)));
  find("clear").addEventListener("click", clear);
  find("refresh-drift").addEventListener("click", refreshDrift);
  find("forget-token").addEventListener("click", () => {
    api.forget();
    find("forget-token").hidden = true;
  });
  try {
    model = await api.model();
  } catch (error) {
    complain(`What is served here is not known: ${error.message}`);
    return;
  }
  find("forget-token").hidden = !api.token;
  showModel(model);
  refreshDrift();
}

/** Put files on the worklist, as many as fit, and say which do not. */
function take(files) {
  const room = MOST_FILES - worklist.items.length;
  const largest = model?.limits?.body_bytes ?? Infinity;
  const notes = [];
  if (files.length > room) notes.push(`The list holds ${MOST_FILES} images at most; not all files were taken.`);
  const items = files.slice(0, Math.max(room, 0)).map((file) => ({ file, name: file.name || "image", number: count++, frame: 0, state: "waiting" }));
  for (const item of items) {
    if (item.file.size > largest) fail(item, `it is larger than the ${Math.round(largest / 1e6)} MB that this server takes`);
  }
  const notice = find("list-notice");
  notice.hidden = !notes.length;
  write(notice, notes.join(" "));
  worklist.add(items);
  queue.add(items.filter((item) => item.state === "waiting"));
  if (items.length) write(find("announce"), `${items.length} ${items.length === 1 ? "image is" : "images are"} being scored.`);
}

async function score(item) {
  const { signal } = stop;
  try {
    const found = await api.predict(item.file, signal);
    if (signal.aborted) return;
    const frames = found.length === 1 ? [settle(item, found[0])] : split(item, found);
    if (worklist.current === item) worklist.choose(frames[0]);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    fail(item, error.message);
    if (worklist.current === item) worklist.choose(item);
  }
  worklist.draw();
}

/** Give each frame of a file its own place on the list. */
function split(item, found) {
  const frames = found.map((one, frame) => {
    const own = { name: `${item.name}, frame ${frame + 1}`, number: item.number + frame / 1e4, row: null };
    return settle({ ...item, ...own, frame }, one);
  });
  worklist.replace(item, frames);
  return frames;
}

function settle(item, one) {
  if (one.error) fail(item, one.error.detail);
  else Object.assign(item, { state: "scored", prediction: one });
  return item;
}

function fail(item, reason) {
  Object.assign(item, { state: "failed", reason });
}

/** When all is scored: say so, and open the most anomalous image unless somebody has opened one. */
function idle() {
  if (!worklist.items.length) return;
  worklist.drawNow();
  refreshDrift();
  const first = worklist.ordered()[0];
  if (!worklist.current && first) worklist.choose(first);
  else write(find("announce"), `${worklist.summary()}.`);
}

async function open(item) {
  opening = item;
  if (item.state !== "scored") {
    showNothing();
    viewer.clear(item.state === "failed" ? "This image could not be scored" : "This image waits to be scored");
    if (item.state === "failed") showFailure(item, item.reason);
    write(find("announce"), item.state === "failed" ? `${item.name}: ${sentence(item.reason)}` : "");
    return;
  }
  showFindings(item, explained.get(item), model, sender());
  announce(item);
  if (!explained.has(item)) {
    viewer.clear("Loading the image");
    try {
      remember(item, await api.explain(item.file, item.frame, stop.signal));
    } catch (error) {
      if (error.name === "AbortError" || opening !== item) return;
      viewer.clear(sentence(error.message));
      return;
    }
  }
  if (opening !== item) return;
  viewer.show(item, explained.get(item));
  showFindings(item, explained.get(item), model, sender());
}

/** Keep the last few, so that going back and forth asks nothing of the server. */
function remember(item, found) {
  explained.set(item, found);
  if (explained.size > REMEMBERED) explained.delete(explained.keys().next().value);
}

function announce(item) {
  const one = item.prediction;
  const chance = one.probability === null ? "" : `, probability ${percent(one.probability)}`;
  write(find("announce"), `${item.name}: ${WORDS[one.decision]}${chance}. ${worklist.summary()}.`);
}

function sender() {
  if (!model?.keeps?.feedback) return null;
  return async (item, label) => {
    await api.feedback(item.prediction.id, label);
    item.label = label;
    worklist.draw();
  };
}

async function refreshDrift() {
  if (!model?.keeps?.drift) return;
  try {
    showDrift(await api.drift());
  } catch {
    find("drift").hidden = find("drift-link").hidden = true;
  }
}

function clear() {
  stop.abort();
  stop = new AbortController();
  queue.clear();
  explained.clear();
  opening = null;
  worklist.clear();
  viewer.clear("Open an image from the list");
  showNothing();
  find("list-notice").hidden = true;
  write(find("announce"), "The list is empty.");
  find("files").focus();
}

function complain(text) {
  const banner = find("banner");
  banner.hidden = false;
  write(banner, sentence(text));
}

/** Ask for a token; who closes the question gives none. */
function askToken(wrong) {
  const dialog = find("token-dialog");
  const input = find("token");
  let given = "";
  find("token-error").hidden = !wrong;
  input.value = "";
  dialog.showModal();
  return new Promise((go, stop) => {
    find("token-form").onsubmit = (event) => {
      event.preventDefault();
      given = input.value.trim();
      if (given) dialog.close();
    };
    dialog.onclose = () => {
      input.value = "";
      find("forget-token").hidden = !given;
      if (given) go(given);
      else stop(new Refusal(401, "this server asks for a token; load the page again to give one"));
    };
  });
}
