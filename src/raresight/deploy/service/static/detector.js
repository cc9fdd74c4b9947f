// What the detector is, what it takes, and what it was shown to do.

import { capital, figure, find, make, percent, sentence, write } from "./dom.js";
import { markdown, pointsOf } from "./markdown.js";

const METRICS = {
  auroc: "AUROC",
  auprc: "Average precision",
  sensitivity: "Sensitivity",
  specificity: "Specificity",
  balanced_accuracy: "Balanced accuracy",
  f1: "F1",
  ppv: "Positive predictive value",
  npv: "Negative predictive value",
  brier: "Brier score",
  ece: "Calibration error",
};

export function showModel(model) {
  write(find("model-name"), model.name);
  document.title = `${model.name} · raresight`;
  const [first] = pointsOf(model.card, "Intended use");
  if (first) write(find("intended"), first);
  write(find("footer"), `raresight ${model.versions?.raresight ?? ""} · bundle ${model.bundle.slice(0, 12)} · loaded ${moment(model.loaded_at)}`);
  find("detector-body").replaceChildren(
    make("div", { class: "columns" }, input(model), evidence(model)),
    make("details", { class: "card" }, make("summary", {}, "Model card"), make("div", {}, markdown(model.card))),
  );
}

function input(model) {
  const taken = model.input ?? {};
  const rows = [
    ["Modality", taken.modality ?? "any"],
    ["Pixels", `${taken.channels === 3 ? "colour" : "grey"}, ${taken.bits} bits, resized to ${taken.size} × ${taken.size}`],
    ["Normal", (model.labels?.normal ?? []).join(", ")],
    ["Anomalous", (model.labels?.anomalous ?? []).join(", ")],
    ["Trained on", model.data ? `${model.data.name}, ${model.data.trained_on} images` : "–"],
    ["Thresholds", thresholds(model)],
    ["Probabilities", model.calibration ? `${model.calibration.method}, for ${percent(model.calibration.stated_at)} anomalous` : "none"],
  ];
  return make(
    "div",
    {},
    make("h3", {}, "Intended input"),
    make("dl", { class: "pairs wide" }, rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value))))),
  );
}

function thresholds(model) {
  const title = (rule) => rule.replace("=", " ≥ ").replace("youden", "Youden’s index").replace(/^f1$/, "F1");
  return Object.entries(model.thresholds).map(([rule, value]) => `${title(rule)}: ${figure(value)}`).join(" · ");
}

function evidence(model) {
  const told = model.evidence;
  const title = make("h3", {}, "Evidence");
  if (!told) return make("div", {}, title, make("p", {}, "Not known: the images hold too few anomalies to judge by."));
  const known = Object.entries(METRICS).filter(([key]) => Number.isFinite(told.metrics?.[key]?.mean));
  const row = ([key, name]) => {
    const { mean, low, high } = told.metrics[key];
    const interval = Number.isFinite(low) ? `${short(low)} – ${short(high)}` : "–";
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, short(mean)), make("td", { class: "number" }, interval));
  };
  const head = ["Metric", "Estimate", "95 % interval"].map((name, at) => make("th", { scope: "col", class: at ? "number" : null }, name));
  return make(
    "div",
    {},
    title,
    make("p", {}, sentence(told.sentence)),
    ...(told.verdicts ?? []).map(verdict),
    make(
      "table",
      { class: "figures" },
      make("caption", { class: "muted small" }, `${told.n} images, ${told.positives} anomalous; decisions at the default threshold`),
      make("thead", {}, make("tr", {}, head)),
      make("tbody", {}, known.map(row)),
    ),
  );
}

function verdict(one) {
  const [word, words] = [one.decision ?? "", one.sentence ?? ""];
  return make("p", { class: "callout" }, make("strong", {}, `${capital(word)}: `), sentence(words));
}

function short(value) {
  return value.toFixed(3).replace(/^0/, "");
}

function moment(text) {
  const when = new Date(text);
  return Number.isNaN(when.valueOf()) ? text : when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
