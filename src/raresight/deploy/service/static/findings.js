// What is said of the open image.

import { WORDS, figure, find, make, percent, sentence, shape } from "./dom.js";

const LABELS = { normal: "Normal", anomalous: "Anomalous", unsure: "Unsure" };

/** `send(item, label)` sends feedback, and is null where the server keeps none. */
export function showFindings(item, explained, model, send) {
  const panel = find("findings");
  const one = item.prediction;
  panel.replaceChildren(
    ...[
      heading(item, one),
      chance(one, model),
      figures(one),
      explained && standings(explained.standing),
      send && feedback(item, send),
      explained && nearest(explained.nearest, model),
    ].filter(Boolean),
  );
}

export function showFailure(item, reason) {
  find("findings").replaceChildren(
    make("div", { class: "verdict failed" }, make("p", { class: "file" }, item.name), make("p", { class: "word" }, "Not scored")),
    make("p", { class: "callout" }, sentence(reason)),
  );
}

export function showNothing() {
  find("findings").replaceChildren();
}

function heading(item, one) {
  const reason = one.reason && make("p", { class: "callout" }, sentence(one.reason));
  return make(
    "div",
    { class: `verdict ${one.decision}` },
    make("p", { class: "file", title: item.name }, item.name),
    make("p", { class: "word" }, shape(one.decision), make("span", {}, WORDS[one.decision])),
    reason,
  );
}

function chance(one, model) {
  if (one.probability === null) return make("p", { class: "muted" }, "This detector gives no probabilities.");
  const at = model?.calibration?.stated_at;
  const where = Number.isFinite(at) ? `Calibrated for sets in which ${percent(at)} of images are anomalous` : "Calibrated";
  return make(
    "div",
    { class: "chance" },
    make("h3", {}, "Probability of an anomaly"),
    make("p", { class: "large" }, percent(one.probability)),
    bar(one.probability),
    make("p", { class: "muted small" }, `${where}; in other settings it is another.`),
  );
}

function figures(one) {
  return make(
    "dl",
    { class: "pairs" },
    make("div", {}, make("dt", {}, "Score"), make("dd", {}, figure(one.score))),
    make("div", {}, make("dt", {}, "Threshold"), make("dd", {}, figure(one.threshold))),
  );
}

function standings(told) {
  const lines = [
    [told.normal_as_high, "normal", "high"],
    [told.anomalous_as_low, "anomalous", "low"],
  ].filter(([share]) => share !== null);
  if (!lines.length) return null;
  const line = ([share, kind, side]) => {
    const whom = `${share === 0 ? "No" : percent(share)} ${share === 0 ? `${kind} training image scores` : `of ${kind} training images score`}`;
    return make("li", {}, make("p", {}, `${whom} as ${side}`), bar(share));
  };
  return make("div", {}, make("h3", {}, "Among the training images"), make("ul", { class: "bars" }, lines.map(line)));
}

/** Draw a share as a bar; the number stands beside it in words. */
function bar(share) {
  const progress = make("span", { class: "bar", "aria-hidden": "true" }, make("i"));
  progress.firstChild.style.width = `${100 * share}%`;
  return progress;
}

function feedback(item, send) {
  const said = make("p", { class: "muted small", role: "status" }, item.label ? noted(item.label) : "");
  const buttons = Object.entries(LABELS).map(([label, words]) =>
    make("button", { type: "button", "aria-pressed": String(item.label === label), click: () => press(label) }, words),
  );
  const group = make(
    "div",
    { class: "feedback" },
    make("h3", { id: "feedback-title" }, "What is it really?"),
    make("div", { role: "group", "aria-labelledby": "feedback-title", class: "choice" }, buttons),
    said,
  );
  async function press(label) {
    try {
      await send(item, label);
    } catch (error) {
      said.textContent = `Not kept: ${error.message}`;
      if (error.status === 404 || error.status === 409) buttons.forEach((button) => (button.hidden = true));
      return;
    }
    Object.keys(LABELS).forEach((each, at) => buttons[at].setAttribute("aria-pressed", String(each === label)));
    said.textContent = noted(label);
  }
  return group;
}

function noted(label) {
  return `Noted as ${label}. It is kept for evaluation and does not change the detector.`;
}

function nearest(cases, model) {
  if (!cases.length) return null;
  const normal = new Set(model?.labels?.normal ?? []);
  const tile = (one) => {
    const kind = normal.has(one.label) ? "normal" : "anomalous";
    const words = `${one.id}, ${one.label}, distance ${figure(one.distance, 2)}`;
    return make(
      "li",
      { class: kind },
      one.image && /^data:image\/png;base64,/.test(one.image) ? make("img", { src: one.image, alt: words }) : null,
      make(
        "p",
        {},
        shape(kind),
        make("span", { class: "label", title: one.label }, one.label),
      ),
      one.image ? null : make("p", { class: "muted" }, one.id),
      make("p", { class: "muted" }, `at ${figure(one.distance, 2)}`),
    );
  };
  return make(
    "div",
    {},
    make("h3", {}, "Nearest training cases"),
    make("ul", { class: "cases" }, cases.map(tile)),
    make("p", { class: "muted small" }, "Each with its distance: 1 is as far as two training images usually are from each other."),
  );
}
