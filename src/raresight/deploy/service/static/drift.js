// Whether the images that come are still like those of training.

import { capital, figure, find, make, percent, sentence } from "./dom.js";

export function showDrift(told) {
  find("drift").hidden = find("drift-link").hidden = false;
  const alarms = told.alarms ?? [];
  const known = told.scores !== null && told.scores !== undefined;
  const verdict = alarms.length
    ? alarms.map((alarm) => make("p", { class: "callout alarm" }, make("strong", {}, `${capital(alarm.name)}: `), sentence(alarm.sentence)))
    : [make("p", {}, known ? "No alarm is raised." : "Too few images have been seen to say anything.")];
  find("drift-body").replaceChildren(...verdict, make("dl", { class: "pairs wide" }, rows(told).map(row)));
}

function rows(told) {
  const { scores, features, prevalence } = told;
  const found = [["Images", `${told.images} seen, the last ${told.window} looked at`]];
  if (scores) {
    const more = Number.isFinite(scores.ks) ? `, largest distance ${figure(scores.ks, 2)}` : "";
    found.push(["Scores", `stability index ${figure(scores.psi, 2)}${more}${chance(scores.p)}`]);
  }
  if (features && Number.isFinite(features.mmd)) found.push(["Appearance", `discrepancy ${figure(features.mmd, 2)}${chance(features.p)}`]);
  if (features?.distance) found.push(["Distance from training images", `${figure(features.distance.mean)}, expected ${figure(features.distance.expected)}${chance(features.distance.p)}`]);
  if (prevalence && Number.isFinite(prevalence.estimate)) {
    const { estimate, low, high, stated } = prevalence;
    const range = Number.isFinite(low) ? ` (${percent(low)} to ${percent(high)})` : "";
    const at = Number.isFinite(stated) ? `; probabilities are stated for ${percent(stated)}` : "";
    found.push(["Seem anomalous", `${percent(estimate)}${range}${at}`]);
  }
  return found;
}

function chance(p) {
  if (!Number.isFinite(p)) return "";
  return p < 0.001 ? ", p < 0.001" : `, p = ${p.toFixed(3)}`;
}

function row([name, words]) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, words));
}
