// The behaviour of the report page.
import { clock, make, visibleOn } from "./basics.js";
import { DASHES } from "./drawing.js";
import { faceFoot, faceHead } from "./faces.js";
import { Picture } from "./picture.js";
import { drawStrip } from "./strip.js";
import { Timeline } from "./timeline.js";
import { common, decimal, episodesText, EMOTIONS, picturesOf, trackOf, videos } from "./values.js";

const MAX_PRINTED = 150;  // largest number of lanes to print; a browser cannot hold any number of them
const all = [...document.querySelectorAll(".video")], byId = (id) => document.getElementById(id);
const built = new Map();  // section of a video → its timeline
const hidden = new Set();
let raw = true, split = false, measures = false, printing = false;

const videoOf = (section) => videos[section.dataset.video];

function laneOf(face, place, thumbs) {
  return {
    face, name: face.name, tracks: [trackOf(face, place)], thumb: face.ids.map((id) => thumbs[id]).find(Boolean),
    episodes: face.episodes.map(([series, start, end]) => ({ series, start, end })), doubts: face.doubts.map(([start, end]) => ({ start, end })), spans: face.spans.map(([row, start, end]) => ({ row, start, end })),
  };
}

function build(section) {
  const body = section.querySelector(".body"), video = videoOf(section), { faces } = video;
  if (body.childElementCount) return;
  const pictures = picturesOf(section.dataset.video), rest = video.count - faces.reduce((sum, face) => sum + face.ids.length, 0);
  if (!video.count) body.append(make("p", { class: "hint" }, "No face was found in this video."));
  if (faces.length) body.append(chartsOf(section, video, pictures));
  if (rest) body.append(make("p", { class: "hint" }, `${rest}${faces.length ? " more" : ""} face${rest === 1 ? " was" : "s were"} seen too briefly to be drawn here. The tables include ${rest === 1 ? "it" : "them"}.`));
}

function chartsOf(section, video, pictures) {
  const { faces } = video, root = make("div", { class: "charts" }), lanes = faces.map((face, place) => laneOf(face, place, pictures.thumbs ?? {}));
  const zoomTo = (first, last, least) => { const pad = Math.max(least, 0.03 * (last - first)); timeline.view(first - pad, last + pad); };
  const button = (text, label, act) => { const made = make("button", { type: "button", ...(label && { "aria-label": label }) }, text); made.addEventListener("click", act); return made; };
  const tools = make("div", { class: "zoom" }, button("+", "Zoom in", () => timeline.zoom(0.5)), button("−", "Zoom out", () => timeline.zoom(2)), button("whole video", "", () => timeline.whole()));
  const names = new Map(faces.flatMap((face, place) => face.ids.map((id) => [id, [place, face.name]])));
  const picture = new Picture(pictures, names), view = make("div", { class: "view" }, root);
  if (pictures.missing) view.prepend(make("p", { class: "hint" }, `No pictures of this video: ${pictures.missing}.`));
  if (!picture.isEmpty) { view.classList.add("with-picture"); view.append(picture.root); }
  const timeline = new Timeline(root, { start: video.start, end: video.end, series: common.series, cuts: video.cuts, minQuality: common.minQuality, rows: common.rows, lanes }, {
    height: 104, gutter: 30, keys: true, tip: picture.isEmpty || "mouse", tools, head: faceHead, foot: (lane) => faceFoot(lane, () => zoomTo(lane.face.first, lane.face.last, 0.5)),
    describe: ({ face }) => `Timeline of ${face.name}. Mostly ${EMOTIONS[face.dominant]}. ${episodesText(face)}`,
  });
  const go = (time) => {
    const lane = timeline.laneOf(timeline.chosen), text = lane ? `${lane.name}: ${readText(timeline, lane, time)}` : "";
    timeline.setCursor(time, true, `${clock(time, 2)}. ${text}`);
    picture.show(time, timeline.chosen, text);
  };
  timeline.addEventListener("choose", ({ detail }) => timeline.choose(detail));
  timeline.addEventListener("seek", ({ detail: { time } }) => go(time));
  picture.onmove = go;
  built.set(section, timeline);
  settle(timeline);
  const first = Math.min(...faces.map((face) => face.first)), last = Math.max(...faces.map((face) => face.last));
  if (last - first < 0.75 * (video.end - video.start)) zoomTo(first, last, 0.5);  // lanes begin where the first face does
  go(first);
  return view;
}

// the values of a lane at a time
function readText(timeline, lane, time) {
  const read = timeline.readAt(lane, time), seen = lane.face.doubts.filter(([start, end]) => time >= start && time <= end).map(([, , reason]) => `⚠ ${reason}`);
  if (!read) return ["not found", ...seen].join(", ");
  const { track, row, order } = read;
  return [...order.slice(0, 3).map((place) => `${EMOTIONS[place]} ${decimal(track.smooth[place][row])}`), `quality ${decimal(track.quality[row])}`, ...seen].join(", ");
}

function settle(timeline) {
  timeline.raw = raw;
  timeline.split = split;
  timeline.measures = measures;
  timeline.hidden = hidden;
  timeline.draw();
}

const visibility = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    visibility.unobserve(target);
    drawStrip(target, videoOf(target.closest(".video")), printing);
    target.dataset.drawn = "yes";
    sizes.observe(target);
  }
}, { rootMargin: "400px" });

const sizes = new ResizeObserver((entries) => {
  if (!printing) for (const { target } of entries) drawStrip(target, videoOf(target.closest(".video")), false);
});

function redrawStrips() {
  for (const canvas of document.querySelectorAll(".strip[data-drawn]")) drawStrip(canvas, videoOf(canvas.closest(".video")), printing);
}

// the lines of the legend, as they are drawn in the lanes
function drawLegend() {
  const back = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
  document.querySelectorAll(".key line").forEach((line, place) => {
    line.setAttribute("stroke", visibleOn(common.series[place].color, back));
    line.setAttribute("stroke-dasharray", DASHES[place].join(" "));
  });
}

// opens the video that a link within the page leads to
function openLinked() {
  const section = byId(location.hash.slice(1));
  if (!section?.matches(".video")) return;
  section.hidden = false;
  build(section);
  section.open = true;
  section.scrollIntoView();
}

function onClick(id, act) { byId(id)?.addEventListener("click", ({ currentTarget }) => act(currentTarget)); }

for (const section of all) {
  visibility.observe(section.querySelector(".strip"));
  section.addEventListener("toggle", () => { if (section.open) build(section); });
}
for (const key of document.querySelectorAll(".key")) {
  key.addEventListener("click", () => {
    const { emotion } = key.dataset;
    if (!hidden.delete(emotion)) hidden.add(emotion);
    key.setAttribute("aria-pressed", String(!hidden.has(emotion)));
    built.forEach(settle);
  });
}
onClick("raw", (button) => { raw = !raw; button.setAttribute("aria-pressed", String(raw)); built.forEach(settle); });
onClick("lanes", (button) => { split = !split; button.setAttribute("aria-pressed", String(split)); built.forEach(settle); });
onClick("measures", (button) => { measures = !measures; button.setAttribute("aria-pressed", String(measures)); built.forEach(settle); });
onClick("toggle", (button) => {
  const open = button.textContent === "Open all";
  for (const section of all) if (!section.hidden) { if (open) build(section); section.open = open; }
  button.textContent = open ? "Close all" : "Open all";
});
byId("search")?.addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const section of all) section.hidden = !videoOf(section).name.toLowerCase().includes(wanted);
  byId("nothing").hidden = all.some((section) => !section.hidden);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { redrawStrips(); drawLegend(); });

let opened = [];
addEventListener("beforeprint", () => {
  printing = true;
  opened = [];
  let room = MAX_PRINTED, left = 0;
  for (const section of all) {
    const video = videoOf(section), strip = section.querySelector(".strip");
    if (!strip.dataset.drawn) drawStrip(strip, video, true);
    if (section.hidden) continue;
    left += Math.max(0, video.faces.length - room);
    if (!room && video.faces.length && !section.open) continue;
    build(section);
    if (!section.open) { opened.push(section); section.open = true; }
    room -= built.get(section)?.print(room) ?? 0;
  }
  byId("unprinted").textContent = left ? `${left} more faces are not printed. At most ${MAX_PRINTED} lanes are printed.` : "";
  redrawStrips();
});
addEventListener("afterprint", () => {
  printing = false;
  for (const section of opened) section.open = false;
  for (const timeline of built.values()) timeline.endPrint();
  redrawStrips();
});

const header = document.querySelector(".top");
new ResizeObserver(() => {  // what is below the header while the page is scrolled
  const height = getComputedStyle(header).position === "sticky" ? header.offsetHeight : 0;
  document.documentElement.style.setProperty("--top", `${height}px`);
}).observe(header);

drawLegend();
if (all.length <= 3 && videos.reduce((sum, video) => sum + video.faces.length, 0) <= 12) for (const section of all) { build(section); section.open = true; }
else if (all.length) { const first = all.find((section) => videoOf(section).faces.length) ?? all[0]; build(first); first.open = true; }
addEventListener("hashchange", openLinked);
openLinked();
