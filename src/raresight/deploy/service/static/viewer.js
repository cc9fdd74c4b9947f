// The viewer: an image, its grey levels, and the heat over it.

import { WORDS, figure, find, sentence, write } from "./dom.js";
import { heatPixels, render, samples, table } from "./pixels.js";

const STEPS = 400;

export class Viewer {
  constructor() {
    this.canvas = find("canvas");
    this.context = this.canvas.getContext("2d");
    this.base = document.createElement("canvas");
    this.heat = document.createElement("canvas");
    this.image = null;
    this.opacity = find("opacity");
    this.level = find("level");
    this.width = find("width");
    this.opacity.addEventListener("input", () => this.compose());
    this.level.addEventListener("input", () => this.setWindow(Number(this.level.value), Number(this.width.value)));
    this.width.addEventListener("input", () => this.setWindow(Number(this.level.value), Number(this.width.value)));
    find("reset-window").addEventListener("click", () => this.reset());
    this.canvas.addEventListener("pointerdown", (event) => this.drag(event));
  }

  /** Show that there is nothing to show, or not yet. */
  clear(word) {
    this.image = null;
    find("stage").dataset.state = "empty";
    find("controls").hidden = true;
    write(find("stage-word"), word);
    this.canvas.setAttribute("aria-label", word);
  }

  /** Show what the server explained of an image. */
  show(item, explained) {
    const { image, heat } = explained;
    this.image = image;
    this.values = samples(image.data, image.bits);
    for (const canvas of [this.canvas, this.base, this.heat]) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    this.hot = heat !== null;
    if (this.hot) this.heat.getContext("2d").putImageData(heatPixels(heat, image.width, image.height), 0, 0);
    find("heat-controls").hidden = !this.hot;
    if (this.hot) write(find("heat-method"), sentence(heat.method));
    const graded = image.window !== null || image.bits === 16;
    find("window-controls").hidden = !graded;
    find("controls").hidden = !this.hot && !graded;
    this.stage(item, explained.prediction);
    if (graded) this.offer();
    this.reset();
  }

  stage(item, prediction) {
    const stage = find("stage");
    stage.dataset.state = "shown";
    stage.toggleAttribute("data-graded", !find("window-controls").hidden);
    const heat = this.hot ? "; heat marks what speaks for an anomaly" : "";
    this.canvas.setAttribute("aria-label", `${item.name}. ${WORDS[prediction.decision]}${heat}`);
  }

  /** Give the sliders the range of the samples, in the file's units. */
  offer() {
    const { slope, intercept } = this.image.rescale;
    const ends = [0, 2 ** this.image.bits - 1];
    if (this.image.bits === 16) {
      ends[0] = this.values.reduce((a, b) => Math.min(a, b), ends[1]);
      ends[1] = this.values.reduce((a, b) => Math.max(a, b), 0);
    }
    const window = this.image.window ?? { low: ends[0], high: ends[1] };
    const units = [...ends, window.low, window.high].map((sample) => slope * sample + intercept);
    const low = Math.min(...units);
    const high = Math.max(...units);
    const step = niceStep((high - low) / STEPS, Math.abs(slope));
    Object.assign(this.level, { min: low, max: high, step });
    Object.assign(this.width, { min: step, max: Math.max(high - low, step), step });
  }

  reset() {
    const { window, bits, rescale } = this.image;
    const low = window?.low ?? 0;
    const high = window?.high ?? 2 ** bits - 1;
    this.setWindow(rescale.slope * ((low + high) / 2) + rescale.intercept, Math.abs(rescale.slope) * (high - low));
  }

  /** Set the middle and the width of what is shown between black and white, in the file's units. */
  setWindow(level, width) {
    if (!this.image) return;
    const { slope, intercept } = this.image.rescale;
    this.now = { level, width };
    const middle = (level - intercept) / slope;
    const half = Math.max(width / Math.abs(slope), 1e-6) / 2;
    for (const [slider, value] of [[this.level, level], [this.width, width]]) {
      slider.value = value;
      slider.setAttribute("aria-valuetext", figure(value, 4));
      write(find(`${slider.id}-value`), figure(value, 4));
    }
    const pixels = render(this.image, this.values, table(this.image.bits, middle - half, middle + half));
    this.base.getContext("2d").putImageData(pixels, 0, 0);
    this.compose();
  }

  /** Lay the heat over the image. */
  compose() {
    write(find("opacity-value"), `${this.opacity.value} %`);
    this.opacity.setAttribute("aria-valuetext", `${this.opacity.value} per cent`);
    if (!this.image) return;
    this.context.globalAlpha = 1;
    this.context.drawImage(this.base, 0, 0);
    if (!this.hot) return;
    this.context.globalAlpha = Number(this.opacity.value) / 100;
    this.context.drawImage(this.heat, 0, 0);
  }

  /** Follow a mouse or pen: across for the window, up and down for the level. A finger scrolls the page. */
  drag(event) {
    if (!this.image || find("window-controls").hidden || event.pointerType === "touch" || event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const start = { x: event.clientX, y: event.clientY, ...this.now };
    const span = Number(this.width.max);
    const follow = (move) => {
      const width = start.width + ((move.clientX - start.x) / STEPS) * span;
      const level = start.level + ((move.clientY - start.y) / STEPS) * span;
      const within = (value, slider) => Math.min(Math.max(value, Number(slider.min)), Number(slider.max));
      this.setWindow(within(level, this.level), within(width, this.width));
    };
    this.canvas.addEventListener("pointermove", follow);
    const end = () => this.canvas.removeEventListener("pointermove", follow);
    this.canvas.addEventListener("pointerup", end, { once: true });
    this.canvas.addEventListener("pointercancel", end, { once: true });
  }
}

/** Give a step of 1, 2 or 5 times a power of ten, no finer than the samples are. */
function niceStep(wanted, finest) {
  const least = Math.max(wanted, finest, 1e-6);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least * 0.999);
}
