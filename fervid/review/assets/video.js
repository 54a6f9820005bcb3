// One video: the player, its timelines and its corrections.
import { ask, clock, find, make } from "./common.js";
import { Face } from "./faces.js";
import { Fixing } from "./fixing.js";
import { Overlay } from "./overlay.js";
import { DASHES } from "./drawing.js";
import { Player } from "./player.js";
import { loadSheet } from "./sheet.js";
import { Timeline } from "./timeline.js";

const number = Number(location.pathname.split("/").pop()), api = `../api/video/${number}`;
const player = new Player(find("player")), overlay = new Overlay(find("overlay"), find("player"));
const fixing = new Fixing(find("fix"), api);
let data = null, timeline = null, chosen = null, hovered = null, size = [16, 9];

function prepare(told) {
  const faces = new Map((told.faces ?? []).map((face) => [face.id, new Face(face, told.emotions.length)]));
  return { lanes: [], moments: [], episodes: [], rows: [], spans: [], cuts: [], emotions: [], sampled: [], participants: data?.participants ?? [], duration: 0, ...told, faces };
}

// the data of the timeline: its lanes are those of the video, its tracks the faces
function charted() {
  const ofFace = (list) => Map.groupBy(list, (one) => one.face), episodes = ofFace(data.episodes), doubts = ofFace(data.moments);
  const places = new Map(data.emotions.map((emotion, place) => [emotion.name, place]));
  const spans = Map.groupBy(data.spans.map(([face, row, start, end]) => ({ face, row, start, end })), (one) => one.face);
  const all = (lane, known) => lane.faces.flatMap((face) => known.get(face) ?? []);
  return {
    start: 0, end: data.duration, series: data.emotions, cuts: data.cuts, minQuality: data.minQuality, rows: data.rows,
    lanes: data.lanes.map((lane) => ({
      ...lane, tracks: lane.faces.map((face) => data.faces.get(face)), doubts: all(lane, doubts), spans: all(lane, spans),
      episodes: all(lane, episodes).map((one) => ({ series: places.get(one.emotion), start: one.onset, end: one.offset })),
    })),
  };
}

function laneHead(lane) {
  const button = make("button", { type: "button", class: "lane-name" }, lane.name);
  button.dataset.faces = lane.faces.join(" ");
  if (lane.role) button.append(make("small", {}, lane.role));
  if (lane.trust.length) button.append(make("small", { class: "doubt", title: lane.trust.join("\n") }, "⚠ doubtful"));
  button.addEventListener("click", () => timeline.pick(lane));
  return button;
}

function note(...texts) {
  find("notes").replaceChildren(...texts.filter(Boolean).map((text) => make("p", { class: "warn" }, text)));
}

function show(told) {
  data = prepare(told);
  hovered = null;  // its lane may be another one now
  note(data.problem, data.message);
  find("measures").parentElement.hidden = !data.rows.length;
  find("trust").textContent = data.trust && data.trust !== "ok" ? `⚠ ${data.trust}` : "";
  if (timeline) timeline.setData(charted());
  if (!data.faces.has(chosen)) chosen = null;
  fixing.setData(data);
  choose(chosen);
  if (!find("sheet").hidden && find("sheet").childElementCount) showSheet();
}

function choose(face) {
  chosen = face;
  timeline?.choose(face);
  if (innerWidth > 900) timeline?.laneOf(face)?.row.scrollIntoView({ block: "nearest" });  // within the list of lanes
  fixing.choose(face);
  for (const one of find("sheet").querySelectorAll("button")) one.setAttribute("aria-pressed", String(Number(one.dataset.face) === face));
  drawFrame();
}

function drawFrame() {
  if (!timeline) return;
  const time = player.time, states = [];
  for (const face of data.faces.values()) {
    const state = face.at(time);
    if (!state) continue;
    const emotion = data.emotions[state.leading], lane = data.lanes.find((one) => one.faces.includes(face.id));
    const name = lane?.participant ?? lane?.name ?? face.name;
    states.push({ face: face.id, box: state.box, short: name, label: `${name}: ${emotion.name} ${Math.round(state.smooth[state.leading] * 100)} %`,
      color: emotion.color, doubtful: face.trust !== "ok", chosen: face.id === chosen });
  }
  overlay.draw(states, size);
  timeline.setCursor(time, true, `${clock(time, 2)}. ${states.map((one) => one.label).join(". ")}`);
  fixing.setTime(time);
  find("clock").textContent = `${clock(time, 3)} / ${clock(data.duration, 1)}, frame ${player.index}`;
  if (!hovered) readOut(time, timeline.laneOf(chosen));
}

function readOut(time, lane) {
  const parts = [clock(time, 2)];
  for (const id of lane?.faces ?? []) {
    const face = data.faces.get(id), state = face.at(time);
    if (!state) continue;
    const order = data.emotions.map((emotion, place) => [state.smooth[place], place, emotion.name]).sort((one, other) => other[0] - one[0]);
    parts.push(`face ${id}`, ...order.slice(0, 3).map(([value, place, name]) => `${name} ${value.toFixed(2)} (raw ${(state.raw[place] ?? 0).toFixed(2)})`),
      `quality ${(state.quality ?? 0).toFixed(2)}`);
  }
  if (lane && parts.length === 1) parts.push(`${lane.name}: not seen`);
  for (const one of data.moments) if (lane?.faces.includes(one.face) && time >= one.start && time <= one.end) parts.push(`⚠ ${one.reason}`);
  find("readout").textContent = parts.join(", ");
}

function stops() {
  const kind = find("kind").value, found = [];
  if (kind === "moments" || kind === "all") found.push(...data.moments.map((one) => ({ time: one.start, face: one.face, text: one.reason })));
  if (kind === "episodes" || kind === "all") found.push(...data.episodes.map((one) => ({ time: one.onset, face: one.face, text: `${one.emotion}, peak ${one.peak.toFixed(2)}` })));
  if (kind === "cuts" || kind === "all") found.push(...data.cuts.map((time) => ({ time, face: null, text: "cut" })));
  return found.sort((one, other) => one.time - other.time);
}

let visited = null;

function jump(direction) {
  const found = stops(), now = player.times[player.target ?? player.index], slack = 0.0005;
  const frame = (one) => player.times[player.frameAt(one.time + slack)];
  let place = visited && found.findIndex((one) => one.time === visited.time && one.face === visited.face && one.text === visited.text);
  if (place === null || place === -1 || Math.abs(frame(found[place]) - now) > slack) {
    const after = found.findIndex((one) => frame(one) > now + slack);
    place = direction > 0 ? (after === -1 ? found.length : after) : found.findLastIndex((one) => frame(one) < now - slack);
  } else place += direction;
  const one = found[place];
  if (!one) { find("here").textContent = found.length ? (direction > 0 ? "that was the last" : "that was the first") : "there are none"; return; }
  visited = one;
  player.seek(one.time + slack);
  if (one.face !== null) choose(one.face);
  find("here").textContent = `${place + 1} of ${found.length}: ${one.face === null ? "" : `face ${one.face}, `}${one.text}`;
}

function legend() {
  for (const [place, emotion] of data.emotions.entries()) {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => { timeline.hidden[box.checked ? "delete" : "add"](emotion.name); timeline.draw(); });
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    line.setAttribute("viewBox", "0 0 26 10");
    line.setAttribute("aria-hidden", "true");
    const stroke = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of Object.entries({ x1: 0, x2: 26, y1: 5, y2: 5, stroke: emotion.color, "stroke-width": 3, "stroke-dasharray": DASHES[place].join(" ") })) stroke.setAttribute(name, value);
    line.append(stroke);
    find("legend").append(make("label", {}, box, line, emotion.name));
  }
}

function fit() {
  const stage = find("stage"), most = innerWidth > 900 ? Math.max(innerHeight * (data?.lanes.length > 2 ? 0.42 : 0.55), 200) : innerHeight * 0.35, wide = stage.parentElement.clientWidth;
  const width = Math.min(wide, most * size[0] / size[1]);
  stage.style.width = `${width}px`;
  stage.style.height = `${width * size[1] / size[0]}px`;
  drawFrame();
}

async function source(asProxy = false) {
  const waiting = find("waiting");
  for (;;) {
    let told;
    try { told = await ask(`${api}/source${asProxy ? "?proxy=1" : ""}`); } catch (error) { told = { state: "failed", error: error.message }; }
    if (told.state === "failed") {
      waiting.hidden = false;
      waiting.textContent = `The video cannot be shown: ${told.error}. The timelines work without it.`;
      player.load(null, data.sampled, null);
      break;
    }
    if (told.state === "ready") {
      waiting.hidden = true;
      player.load(`../media/${number}${told.kind === "proxy" ? "/proxy" : ""}`, told.times, told.media);
      if (told.notes.length) note(data.problem, data.message, ...told.notes);
      if (told.kind === "file") find("player").addEventListener("error", () => source(true), { once: true });
      break;
    }
    waiting.hidden = false;
    waiting.textContent = `A copy that browsers play is made, because ${told.reason}: ${told.done === null ? "at work" : `${Math.round(told.done * 100)} %`}. It is kept in ${told.folder}.`;
    await new Promise((done) => setTimeout(done, 400));
  }
}

async function showSheet() {
  find("sheet-note").textContent = "Reading faces …";
  try {
    await loadSheet(find("sheet"), `${api}/sheet`, data, {
      choose: (face, time) => { choose(face); player.seek(time + 0.0005); },
      move: (face, person) => { choose(face); fixing.act("person", { face_id: String(face), value: person }); },
    });
    find("sheet-note").textContent = data.refusal ? "" : "Drag a face to the person it belongs to, or choose it and use “belongs to” above.";
  } catch (error) {
    find("sheet-note").textContent = error.message;
  }
  choose(chosen);
}

function keys(event) {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea"), { key } = event;
  if ((event.ctrlKey || event.metaKey) && !typing && !event.altKey) {
    const redo = key === "y" || (event.shiftKey && key.toLowerCase() === "z");
    if (redo || key === "z") { event.preventDefault(); if (!data.refusal) fixing.act(redo ? "redo" : "undo"); }
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === " " && event.target.matches("button, summary, input")) return;
  const lanes = timeline.lanes, place = lanes.findIndex((lane) => lane.faces.includes(chosen));
  const lane = (step) => { const next = lanes[Math.min(Math.max(place + step, 0), lanes.length - 1)]; if (next) timeline.pick(next, player.time); };
  const second = (direction) => player.seek(player.time + direction);
  const actions = {
    " ": () => player.toggle(), ArrowLeft: () => (event.shiftKey ? second(-1) : player.step(-1)), ArrowRight: () => (event.shiftKey ? second(1) : player.step(1)),
    Home: () => player.seek(0), End: () => player.seek(data.duration), n: () => jump(1), p: () => jump(-1), "+": () => timeline.zoom(0.5), "=": () => timeline.zoom(0.5),
    "-": () => timeline.zoom(2), 0: () => timeline.whole(), ArrowUp: () => lane(-1), ArrowDown: () => lane(1),
  };
  if (["ArrowUp", "ArrowDown", "Home", "End"].includes(key) && event.target.closest("#timeline") === null && event.target !== document.body) return;
  if (!actions[key]) return;
  event.preventDefault();
  actions[key]();
}

function connect() {
  timeline = new Timeline(find("timeline"), charted(), { head: laneHead });
  timeline.addEventListener("seek", (event) => player.seek(event.detail.time));
  timeline.addEventListener("choose", (event) => choose(event.detail));
  timeline.addEventListener("hover", (event) => { hovered = event.detail; if (hovered) readOut(hovered.time, hovered.lane ?? timeline.laneOf(chosen)); else drawFrame(); });
  player.addEventListener("frame", drawFrame);
  player.addEventListener("state", () => { find("play").textContent = player.paused ? "Play" : "Pause"; find("play").disabled = !player.playable; drawFrame(); });
  fixing.addEventListener("changed", (event) => show(event.detail));
  fixing.addEventListener("stale", async () => show(await ask(api)));
  const on = (id, act, name = "click") => find(id).addEventListener(name, act);
  on("play", () => player.toggle());
  on("back", () => player.step(-1));
  on("forward", () => player.step(1));
  on("previous", () => jump(-1));
  on("next", () => jump(1));
  on("closer", () => timeline.zoom(0.5));
  on("wider", () => timeline.zoom(2));
  on("whole", () => timeline.whole());
  on("load-sheet", showSheet);
  on("speed", () => { player.video.playbackRate = Number(find("speed").value); }, "change");
  on("raw", () => { timeline.raw = find("raw").checked; timeline.draw(); }, "change");
  on("measures", () => { timeline.measures = find("measures").checked; timeline.draw(); }, "change");
  on("mute", () => { player.video.muted = !player.video.muted; find("mute").setAttribute("aria-pressed", String(player.video.muted)); });
  on("overlay", (event) => { const face = overlay.faceAt(event.clientX, event.clientY, size); if (face === null) player.toggle(); else choose(face); });
  player.video.addEventListener("loadedmetadata", () => { size = [player.video.videoWidth, player.video.videoHeight]; player.seek(player.time); fit(); });
  document.addEventListener("keydown", keys);
  addEventListener("beforeprint", () => timeline.print());
  addEventListener("afterprint", () => timeline.endPrint());
  new ResizeObserver(fit).observe(find("stage").parentElement);
}

const asked = new URLSearchParams(location.hash.slice(1)), wanted = Number(asked.get("t")) || 0;
try {
  const told = await ask(api);
  find("title").textContent = told.name;
  document.title = `${told.name}: fervid review`;
  if (told.size) size = told.size;
  show(told);
  connect();
  legend();
  player.load(null, data.sampled, null);
  fit();
  player.seek(wanted);
  choose(data.faces.has(Number(asked.get("face"))) && asked.has("face") ? Number(asked.get("face")) : null);
  await source();
  drawFrame();
} catch (error) {
  note(error.message);
}
document.body.dataset.ready = "yes";
