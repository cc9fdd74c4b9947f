// Elements and numbers, as the whole page writes them. Text from elsewhere only ever becomes text nodes.

/** Make an element: attributes (event listeners as functions, false or null left out), then children. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function find(id) {
  return document.getElementById(id);
}

/** Write text into an element only where it changes, so that screen readers are not made to repeat it. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SHAPES = {
  anomalous: "M8 1.5 15 14.5H1Z",
  normal: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2Z",
  refer: "M8 .8 15.2 8 8 15.2.8 8Z",
};

export const WORDS = { anomalous: "Anomalous", normal: "Normal", refer: "Refer to a person" };

/** Draw a decision's shape: a triangle, a circle, a diamond. */
export function shape(decision) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("shape");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[decision] ?? SHAPES.refer);
  svg.append(path);
  return svg;
}

export function percent(share, digits = 0) {
  if (share > 0 && share < 0.5 * 10 ** (-2 - digits)) return `< ${(10 ** -digits).toFixed(digits)} %`;
  if (share < 1 && share > 1 - 0.5 * 10 ** (-2 - digits)) return `> ${(100 - 10 ** -digits).toFixed(digits)} %`;
  return `${(100 * share).toFixed(digits)} %`;
}

/** Write a number with three or four significant digits, and no exponent where none is needed. */
export function figure(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  const text = size < 1e-3 || size >= 1e6 ? value.toExponential(1) : value.toFixed(decimals(size, digits));
  return text.replace("-", "−");
}

function decimals(size, digits) {
  return size < 1 ? digits : Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** End a clause that the server wrote as a sentence. */
export function sentence(text) {
  const whole = capital(text.trim());
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
