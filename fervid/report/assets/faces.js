// What stands beside and below the lane of a face.
import { clock, make } from "./basics.js";
import { counted, decimal, EMOTIONS, episodesText, percent } from "./values.js";

const ROWS = 500;  // rows that a table of episodes shows at first

// "face 3", or "faces 0, 4 and 9"
function facesText(ids) {
  const listed = ids.length > 6 ? [...ids.slice(0, 5), `${ids.length - 5} more`] : ids;
  return ids.length === 1 ? `face ${ids[0]}` : `faces ${listed.slice(0, -1).join(", ")} and ${listed.at(-1)}`;
}

export function faceHead({ face, thumb }) {
  const letter = face.person === null ? String(face.ids[0]) : [...face.name][0]?.toUpperCase() ?? "";
  const image = thumb ? make("img", { src: thumb, alt: "", width: 56, height: 56 }) : make("span", { class: "blank", "aria-hidden": "true" }, letter);
  const title = make("h3", {}, make("bdi", {}, face.name.replace(/^(face|person) (?=\d)/, (_, word) => `${word === "face" ? "Face" : "Person"} `)));
  if (face.role !== null) title.append(" ", make("small", {}, make("bdi", {}, face.role)));
  const facts = [face.person === null ? null : facesText(face.ids), `${clock(face.first)} – ${clock(face.last)}`, counted(face.samples, "sample"), `coverage ${percent(face.coverage)}`, `quality ${decimal(face.quality)}`];
  const list = make("ul", { class: "percents" });
  const order = face.shares.map((_, place) => place).sort((one, other) => face.shares[other] - face.shares[one]).filter((place) => face.shares[place] > 0);
  for (const place of order) list.append(make("li", { class: `c-${EMOTIONS[place]}` }, `${EMOTIONS[place]} `, make("b", {}, percent(face.shares[place]))));
  return make("div", { class: "who" }, image, title, make("p", { class: "facts" }, facts.filter(Boolean).join(" · ")), list);
}

function episodeTable(face) {
  const heads = ["emotion", "from", "to", "length", "peak"].map((text, place) => make("th", { scope: "col", class: place ? "n" : "" }, text));
  const row = ([emotion, from, to, peak]) => make("tr", {}, make("td", { class: `c-${EMOTIONS[emotion]}` }, EMOTIONS[emotion]),
    ...[clock(from), clock(to), `${(to - from).toFixed(1)} s`, decimal(peak)].map((text) => make("td", { class: "n" }, text)));
  const body = make("tbody"), table = make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  const details = make("details", { class: "episodes" }, make("summary", {}, counted(face.episodes.length, "episode")), table);
  details.addEventListener("toggle", () => {  // built when it is opened: a long video has tens of thousands of rows
    if (body.childElementCount) return;
    body.append(...face.episodes.slice(0, ROWS).map(row));
    if (face.episodes.length <= ROWS) return;
    const more = make("button", { type: "button" }, `${face.episodes.length - ROWS} more`);
    more.addEventListener("click", () => { body.append(...face.episodes.slice(ROWS).map(row)); more.remove(); });
    table.append(more);
  });
  return details;
}

// zoom: shows the time of this face
export function faceFoot({ face }, zoom) {
  const foot = make("div", { class: "foot" }), button = make("button", { type: "button" }, face.person === null ? "zoom to this face" : "zoom to this person");
  button.addEventListener("click", zoom);
  if (face.trust !== "ok") foot.append(make("p", { class: "warning" }, `⚠ Use with caution: ${face.trust}.`));
  if (face.episodes.length) foot.append(episodeTable(face));
  foot.append(make("div", { class: "zoom" }, button), make("p", { class: "printed", "aria-hidden": "true" }, episodesText(face)));
  return foot;
}
