// The model card: headings, lists and paragraphs of Markdown, with **bold**, *emphasis* and `code`.
// Everything becomes elements and text nodes; HTML in the text stays text.

import { make } from "./dom.js";

/** Give the elements of a text; `above` is added to the level of its headings. */
export function markdown(text, above = 2) {
  const found = [];
  let list = null;
  let paragraph = [];
  const close = () => {
    if (paragraph.length) found.push(make("p", {}, inline(paragraph.join(" "))));
    paragraph = [];
    list = null;
  };
  for (const line of text.split(/\r?\n/)) {
    const heading = /^(#{1,4})\s+(.*)$/.exec(line);
    const point = /^\s*[-*]\s+(.*)$/.exec(line);
    if (!line.trim()) close();
    else if (heading) {
      close();
      found.push(make(`h${Math.min(heading[1].length + above, 6)}`, {}, inline(heading[2])));
    } else if (point) {
      if (!list) {
        close();
        list = make("ul");
        found.push(list);
      }
      list.append(make("li", {}, inline(point[1])));
    } else if (list) list.lastChild.append(" ", ...inline(line.trim()));
    else paragraph.push(line.trim());
  }
  close();
  return found;
}

function inline(text) {
  const names = { "**": "strong", "*": "em", "`": "code" };
  return text.split(/(\*\*[^*]+\*\*|\*[^*\s][^*]*\*|`[^`]+`)/).filter(Boolean).map((part) => {
    const mark = ["**", "`", "*"].find((each) => part.length > 2 * each.length && part.startsWith(each) && part.endsWith(each));
    return mark ? make(names[mark], {}, part.slice(mark.length, -mark.length)) : part;
  });
}

/** Give the points of a section of the card. */
export function pointsOf(text, title) {
  const lines = text.split(/\r?\n/);
  const start = lines.findIndex((line) => /^#+\s/.test(line) && line.replace(/^#+\s+/, "").trim() === title);
  if (start < 0) return [];
  const points = [];
  for (const line of lines.slice(start + 1)) {
    if (/^#/.test(line)) break;
    const point = /^\s*[-*]\s+(.*)$/.exec(line);
    if (point) points.push(point[1]);
  }
  return points;
}
