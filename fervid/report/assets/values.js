// The values of the page: decoding and writing them.
import { clock } from "./basics.js";

export const { common, videos } = JSON.parse(document.getElementById("data").textContent);
export const EMOTIONS = common.series.map(({ name }) => name), COUNT = EMOTIONS.length;
const NONE = 255, HIGHEST = 254;

export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
export const decimal = (value) => (value === null ? "–" : value.toFixed(2).replace(/^0/, ""));

export function percent(share) {
  const value = 100 * share;
  return value > 0 && value < 0.5 ? "< 1 %" : value >= 99.5 && value < 100 ? "> 99 %" : `${Math.round(value)} %`;
}

function bytes(text) {
  const binary = atob(text), found = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place++) found[place] = binary.charCodeAt(place);
  return found;
}

// A face, here and below, is the faces of one person, or one face whose person is not known. This is its track of the
// timeline. A row of the page that stands for a gap becomes the mark of a gap.
export function trackOf(face, id) {
  const all = new Float32Array(bytes(face.t).buffer), values = bytes(face.v), kept = [], gaps = new Set();
  for (let row = 0; row < face.n; row++) {
    if (values[row] === NONE) gaps.add(kept.length - 1); else kept.push(row);
  }
  const column = (place) => kept.map((row) => values[place * face.n + row] / HIGHEST);
  const columns = (from) => EMOTIONS.map((_, place) => column(from + place));
  const rows = common.rows.map((_, place) => kept.map((row) => { const value = values[(2 * COUNT + 1 + place) * face.n + row]; return value === NONE ? null : value / HIGHEST; }));
  return {
    id, gaps, rows, times: kept.map((row) => all[row]), until: face.seen.at(-1)[1], smooth: columns(0), raw: columns(COUNT), quality: column(2 * COUNT),
    note: face.thinned > 1 ? `min or max of ${face.thinned} samples` : undefined,
  };
}

export function episodesText(face) {
  const parts = face.episodes.slice(0, 12).map(([emotion, from, to]) => `${EMOTIONS[emotion]} from ${clock(from)} to ${clock(to)}`);
  const more = face.episodes.length > 12 ? ` and ${face.episodes.length - 12} more` : "";
  return parts.length ? `Episodes: ${parts.join(", ")}${more}.` : "No episodes.";
}

// the pictures of a video, which are decoded when it is opened
export function picturesOf(number) {
  const element = document.getElementById(`pictures-${number}`);
  return element ? JSON.parse(element.textContent) : {};
}
