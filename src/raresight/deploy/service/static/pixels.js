// Samples, windows and heat, as plain functions of arrays.

/** Decode base64 to samples of 8 or 16 bits; the server sends the lower byte first, as every browser keeps it. */
export function samples(text, bits) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return bits === 16 ? new Uint16Array(bytes.buffer) : bytes;
}

/** Give the byte that each sample is shown as, black up to `low` and white from `high` on. */
export function table(bits, low, high) {
  const shown = new Uint8ClampedArray(2 ** bits);
  const scale = 255 / Math.max(high - low, 1e-9);
  for (let value = 0; value < shown.length; value++) shown[value] = (value - low) * scale;
  return shown;
}

/** Give an image's pixels through a table. */
export function render(image, values, shown) {
  const { width, height, channels } = image;
  const pixels = new ImageData(width, height);
  const out = pixels.data;
  const [red, green, blue] = channels === 3 ? [0, 1, 2] : [0, 0, 0];
  for (let from = 0, to = 0; to < out.length; from += channels, to += 4) {
    out[to] = shown[values[from + red]];
    out[to + 1] = shown[values[from + green]];
    out[to + 2] = shown[values[from + blue]];
    out[to + 3] = 255;
  }
  return pixels;
}

// Yellow, orange, red: the colours of `raresight predict --heatmaps`.
const RAMP = [[255, 214, 10], [255, 112, 0], [217, 4, 41]];

function colours() {
  const found = new Uint8ClampedArray(256 * 3);
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (RAMP.length - 1);
    const below = Math.min(Math.floor(place), RAMP.length - 2);
    for (let c = 0; c < 3; c++) {
      found[3 * value + c] = RAMP[below][c] + (place - below) * (RAMP[below + 1][c] - RAMP[below][c]);
    }
  }
  return found;
}

/** Lay heat out over `width` × `height` pixels, bilinear between the middles of its cells; no heat is clear. */
export function heatPixels(heat, width, height) {
  const values = samples(heat.data, 8);
  const ramp = colours();
  const pixels = new ImageData(width, height);
  const out = pixels.data;
  const across = weights(heat.width, width);
  const down = weights(heat.height, height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const upper = down.first[y] * heat.width;
    const lower = down.second[y] * heat.width;
    for (let x = 0; x < width; x++, to += 4) {
      const left = across.first[x];
      const right = across.second[x];
      const top = values[upper + left] + across.share[x] * (values[upper + right] - values[upper + left]);
      const bottom = values[lower + left] + across.share[x] * (values[lower + right] - values[lower + left]);
      const value = Math.round(top + down.share[y] * (bottom - top));
      out[to] = ramp[3 * value];
      out[to + 1] = ramp[3 * value + 1];
      out[to + 2] = ramp[3 * value + 2];
      out[to + 3] = value;
    }
  }
  return pixels;
}

function weights(from, to) {
  const first = new Uint16Array(to);
  const second = new Uint16Array(to);
  const share = new Float32Array(to);
  for (let at = 0; at < to; at++) {
    const place = Math.min(Math.max(((at + 0.5) * from) / to - 0.5, 0), from - 1);
    first[at] = Math.floor(place);
    second[at] = Math.min(first[at] + 1, from - 1);
    share[at] = place - first[at];
  }
  return { first, second, share };
}
