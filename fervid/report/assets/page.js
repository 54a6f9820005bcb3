/* The behaviour of the report page. Text is inserted through textContent only, never as HTML. */
(() => {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const EMOTIONS = data.emotions, COLORS = data.colors, COUNT = EMOTIONS.length, NONE = 255, STEPS = 254;
const BAND = 26; /* height of the band of episodes, in pixels */
const shown = EMOTIONS.map(() => true);
let raw = true, lanes = false, printing = false;
const charts = new Map();

/* helpers */

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") node.textContent = value;
    else if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/* colours for printing: paper is white, even if the screen is dark */
const PAPER = {"--soft": "#444", "--line": "#ccc", "--fill": "#eee", "--hatch": "rgba(0, 0, 0, .12)", "--grid": "rgba(0, 0, 0, .1)"};
const color = name => printing ? PAPER[name] : getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function clock(seconds, digits = 1) {
  const unit = 10 ** digits, whole = Math.round(seconds * unit), rest = whole % (60 * unit), minutes = Math.floor(whole / (60 * unit));
  const tail = (rest / unit).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

function percent(share) {
  const value = 100 * share;
  return value > 0 && value < 0.5 ? "< 1 %" : value >= 99.5 && value < 100 ? "> 99 %" : `${Math.round(value)} %`;
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function bytes(text) {
  const binary = atob(text), found = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) found[i] = binary.charCodeAt(i);
  return found;
}

/* A face, here and below, is the faces of one person, or one face whose person is not known. */

/* decodes the columns of a face: times, smoothed, raw, quality; null in a gap */
function columns(face) {
  if (face.columns) return face.columns;
  const times = Array.from(new Float32Array(bytes(face.t).buffer)), values = bytes(face.v), n = face.n;
  const column = k => Array.from(values.subarray(k * n, (k + 1) * n), v => v === NONE ? null : v / STEPS);
  const range = (from, to) => Array.from({length: to - from}, (_, k) => column(from + k));
  face.columns = {times, smooth: range(0, COUNT), raw: range(COUNT, 2 * COUNT), quality: column(2 * COUNT)};
  return face.columns;
}

/* The lane of each face in the strip. Up to 10 faces get a lane each. More faces share lanes, so that the faces of a
   lane are not seen at the same time, unless that needs more than 40 lanes. */
function faceLanes(faces) {
  if (faces.length <= 10) return faces.map((_, i) => i);
  const ends = [], laneOf = new Map();
  for (const face of [...faces].sort((a, b) => a.first - b.first)) {
    let lane = ends.findIndex(end => end < face.first);
    if (lane < 0) lane = ends.length < 40 ? ends.length : ends.indexOf(Math.min(...ends));
    ends[lane] = Math.max(face.last, ends[lane] ?? 0);
    laneOf.set(face, lane);
  }
  return faces.map(face => laneOf.get(face));
}

/* draws the strip of a video: one bar per face, coloured by its episodes */
function drawStrip(canvas, video) {
  const faces = video.faces, laneOf = faceLanes(faces), count = faces.length ? Math.max(...laneOf) + 1 : 0, lane = count > 10 ? 2 : count > 4 ? 3 : 6, space = count > 10 ? 1 : 2;
  const height = Math.max(8, count * (lane + space) - space), width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  if (!width) return;
  canvas.style.height = `${height}px`;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d"), length = Math.max(video.end - video.start, 1e-3);
  pen.scale(ratio, ratio);
  const bar = (from, to, y, fill) => {
    const x = (from - video.start) / length * width;
    pen.fillStyle = fill;
    pen.fillRect(x, y, Math.max(1, (to - from) / length * width), lane);
  };
  if (!faces.length) bar(video.start, video.end, 1, color("--fill"));
  faces.forEach((face, i) => {
    const y = laneOf[i] * (lane + space);
    for (const [from, to] of face.seen) bar(from, to, y, color("--line"));
    for (const [emotion, from, to] of face.episodes) bar(from, Math.min(to, video.end), y, COLORS[emotion]);
  });
}

/* charts */

function hatch(pen, x, y, width, height) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.strokeStyle = color("--hatch");
  pen.lineWidth = devicePixelRatio || 1;
  pen.beginPath();
  const step = 7 * (devicePixelRatio || 1);
  for (let left = x - height - x % step; left < x + width; left += step) {
    pen.moveTo(left, y + height);
    pen.lineTo(left + height, y);
  }
  pen.stroke();
  pen.restore();
}

/* hatches the gaps behind the lines */
function drawGaps(plot, face, video) {
  const {left, top, width, height} = plot.bbox, edges = [video.start, ...face.seen.flat(), video.end];
  for (let i = 0; i < edges.length; i += 2) {
    if (edges[i + 1] - edges[i] <= 0) continue;
    const from = Math.max(left, plot.valToPos(edges[i], "x", true)), to = Math.min(left + width, plot.valToPos(edges[i + 1], "x", true));
    if (to - from > 1) hatch(plot.ctx, from, top, to - from, height);
  }
}

/* draws the episodes in the band above the chart */
function drawEpisodes(plot, face) {
  const ratio = devicePixelRatio || 1, {left, top, width} = plot.bbox, pen = plot.ctx, high = (BAND - 8) * ratio, y = top - (BAND - 2) * ratio;
  pen.save();
  pen.beginPath();
  pen.rect(left, y, width, high);
  pen.clip();
  pen.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (const [from, to] of face.seen) {
    const x = plot.valToPos(from, "x", true);
    pen.fillStyle = color("--fill");
    pen.fillRect(x, y + high / 2 - ratio, Math.max(ratio, plot.valToPos(to, "x", true) - x), 2 * ratio);
  }
  for (const [emotion, from, to] of face.episodes) {
    const begin = plot.valToPos(from, "x", true), end = plot.valToPos(to, "x", true);
    if (end < left || begin > left + width) continue;
    pen.globalAlpha = shown[emotion] ? 1 : 0.25;
    pen.fillStyle = COLORS[emotion];
    pen.beginPath();
    pen.roundRect(begin + ratio / 2, y, Math.max(ratio, end - begin - ratio), high, 3 * ratio);
    pen.fill();
    const textLeft = Math.max(begin, left) + 6 * ratio, room = Math.min(end, left + width) - textLeft - 4 * ratio;
    if (pen.measureText(EMOTIONS[emotion]).width <= room) {
      pen.fillStyle = ["sad", "angry", "neutral", "disgust"].includes(EMOTIONS[emotion]) ? "#fff" : "#14161a";
      pen.fillText(EMOTIONS[emotion], textLeft, y + high / 2 + ratio / 2);
    }
  }
  pen.restore();
}

function faded(hex, alpha) {
  return hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
}

/* the values to draw; with lanes, shifted into the lane of the emotion, the first emotion on top */
function shifted(values, emotion) {
  if (!lanes) return values;
  const base = COUNT - 1 - emotion;
  return values.map(v => v === null ? null : base + 0.9 * v);
}

function seriesOf(emotion) {
  const base = COUNT - 1 - emotion, hue = COLORS[emotion], single = (plot, i, show, gaps) => isolated(plot.data[i]);
  const points = {show: true, filter: single, size: 5, width: 0, fill: hue};
  const smooth = {stroke: hue, width: 2, show: shown[emotion], points};
  const thin = {stroke: faded(hue, 0.55), width: 1, show: shown[emotion] && raw, points: {...points, size: 3}};
  return lanes ? [{...smooth, fill: faded(hue, 0.22), fillTo: () => base}, thin] : [smooth, thin];
}

/* indices of the samples between two gaps; a line does not show them, so they are drawn as points */
function isolated(values) {
  const found = [];
  for (let i = 0; i < values.length; i++)
    if (values[i] !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) found.push(i);
  return found;
}

/* possible seconds between two labels of the time axis */
const TIME_STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

function axes() {
  const soft = color("--soft"), grid = {stroke: color("--grid"), width: 1}, font = "12px system-ui, sans-serif";
  const common = {stroke: soft, grid, ticks: {show: false}, font};
  const across = {...common, size: 28, space: 70, incrs: TIME_STEPS, values: (_, splits, axis, space, step) => splits.map(v => clock(v, step < 0.1 ? 2 : step < 1 ? 1 : 0))};
  if (!lanes) return [across, {...common, size: 38, splits: [0, 0.25, 0.5, 0.75, 1], values: (_, v) => v.map(x => x === 0.5 ? ".5" : x % 1 ? "" : String(x))}];
  return [across, {...common, size: 64, splits: EMOTIONS.map((_, i) => i), values: () => EMOTIONS.map((_, i) => EMOTIONS[COUNT - 1 - i])}];
}

function options(face, video, width, group) {
  return {
    width, height: (lanes ? 336 : 232) - (printing ? 52 : 0), padding: [BAND, 28, 0, 0], legend: {show: false},
    scales: {x: {time: false, min: group.min, max: group.max}, y: {range: lanes ? [0, COUNT] : [0, 1.02]}},
    axes: axes(),
    series: [{}, ...EMOTIONS.flatMap((_, i) => seriesOf(i).reverse())],
    cursor: {x: true, y: false, drag: {x: true, y: false}, sync: {key: group.key, setSeries: false}, points: {show: false}, bind: {dblclick: () => () => zoom(group, video.start, video.end)}},
    hooks: {
      drawClear: [plot => drawGaps(plot, face, video)],
      draw: [plot => drawEpisodes(plot, face)],
      setScale: [(plot, key) => { if (key === "x") follow(group, plot); }],
      setCursor: [plot => updateTip(plot)],
    },
  };
}

/* all charts of a video show the same period */
function follow(group, plot) {
  const {min, max} = plot.scales.x;
  if (group.busy || min === null || (min === group.min && max === group.max)) return;
  zoom(group, min, max);
}

function zoom(group, min, max) {
  const {start, end} = group.video, shortest = Math.min(0.5, end - start), length = Math.min(Math.max(max - min, shortest), end - start);
  const from = Math.min(Math.max((min + max - length) / 2, start), end - length);
  group.min = from;
  group.max = from + length;
  group.busy = true;
  for (const chart of group.charts) {
    const run = runLength(chart, chart.plot.width);
    if (run !== chart.run) {
      chart.run = run;
      chart.plot.setData(points(chart), false);
    }
    chart.plot.setScale("x", {min: group.min, max: group.max});
  }
  queueMicrotask(() => { group.busy = false; });
}

function zoomBy(group, factor) {
  const middle = (group.min + group.max) / 2;
  zoom(group, middle - (middle - group.min) * factor, middle + (group.max - middle) * factor);
}

/* shows the numbers under the cursor */
function updateTip(plot) {
  const chart = charts.get(plot.root.parentNode);
  if (!chart) return;
  const {tip, face} = chart, index = sampleUnderCursor(chart), active = chart.keyed || chart.host.matches(":hover, .touched");
  if (index === null || index === undefined || plot.cursor.left < 0 || !active) {
    tip.hidden = true;
    return;
  }
  const {times, smooth, raw: alone, quality} = columns(face);
  const order = EMOTIONS.map((_, i) => i).sort((a, b) => smooth[b][index] - smooth[a][index]);
  const number = v => v.toFixed(2).replace(/^0/, "");
  const time = chart.keyed ? times[index] : plot.posToVal(plot.cursor.left, "x"), margin = plot.posToVal(6, "x") - plot.posToVal(0, "x");
  const found = quality[index] !== null && (chart.keyed || face.seen.some(([from, to]) => from - margin <= time && time <= to + margin));
  const head = make("p", {}, make("b", {text: clock(found ? times[index] : time, 2)}), make("span", {text: found ? `quality ${number(quality[index])}` : "not found"}));
  if (found && face.thinned > 1) head.append(make("span", {text: `min or max of ${face.thinned} samples`}));
  const list = make("ul", {"aria-hidden": "true"});
  if (found) for (const i of order)
    list.append(make("li", {class: `c-${EMOTIONS[i]}`}, make("span", {text: EMOTIONS[i]}), make("b", {text: number(smooth[i][index])}), make("i", {text: number(alone[i][index])})));
  tip.replaceChildren(head, list);
  tip.hidden = false;
  const left = plot.over.offsetLeft + plot.cursor.left, room = chart.host.clientWidth;
  tip.style.left = `${left + 14 + tip.offsetWidth < room ? left + 14 : Math.max(0, left - 14 - tip.offsetWidth)}px`;
  if (chart.keyed && found) chart.live.textContent = `${clock(times[index])}: ${EMOTIONS[order[0]]} ${number(smooth[order[0]][index])}`;
}

/* Number of samples that one drawn point stands for. It is 1 up to two samples per pixel. With more samples, a power
   of two leaves fewer than one point per pixel, so that lines stay readable. */
function runLength(chart, width) {
  const {times} = columns(chart.face), step = (times[times.length - 1] - times[0]) / Math.max(1, times.length - 1);
  const perPixel = step ? (chart.group.max - chart.group.min) / width / step : 0;
  return perPixel > 2 ? 2 ** Math.ceil(Math.log2(2 * perPixel)) : 1;
}

/* The data of a chart: times, then raw and smoothed values of each emotion. For runs of samples, only the means of the
   smoothed values are drawn. */
function points(chart) {
  const {times, smooth, raw: alone} = columns(chart.face), run = chart.run;
  if (run === 1) return [times, ...EMOTIONS.flatMap((_, i) => [shifted(alone[i], i), shifted(smooth[i], i)])];
  const begins = [0];
  for (let i = 1; i < times.length; i++)
    if (i - begins[begins.length - 1] === run || (smooth[0][i] === null) !== (smooth[0][i - 1] === null)) begins.push(i);
  const mean = values => begins.map((from, k) => {
    if (values[from] === null) return null;
    const to = begins[k + 1] ?? values.length;
    let sum = 0;
    for (let i = from; i < to; i++) sum += values[i];
    return sum / (to - from);
  });
  const none = begins.map(() => null);
  return [mean(times), ...EMOTIONS.flatMap((_, i) => [none, shifted(mean(smooth[i]), i)])];
}

/* index of the sample under the cursor */
function sampleUnderCursor(chart) {
  const {plot, face, run} = chart, {times} = columns(face);
  if (chart.keyed) return chart.index;
  if (run === 1 || plot.cursor.left < 0) return plot.cursor.idx;
  const time = plot.posToVal(plot.cursor.left, "x");
  let low = 0, high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle; else high = middle;
  }
  return time - times[low] < times[high] - time ? low : high;
}

function draw(chart) {
  const {host, face, video, group} = chart;
  const width = Math.max(240, printing ? 660 : host.clientWidth);
  if (chart.plot) chart.plot.destroy();
  host.classList.toggle("tall", lanes);
  chart.run = runLength(chart, width);
  group.busy = true;
  chart.plot = new uPlot(options(face, video, width, group), points(chart), host);
  queueMicrotask(() => { group.busy = false; });
  listenToTouch(chart);
}

/* two fingers zoom and move; one finger shows the numbers */
function listenToTouch(chart) {
  const {host, plot, group} = chart, fingers = new Map();
  let before = null;
  const place = event => event.clientX - plot.over.getBoundingClientRect().left;
  plot.over.addEventListener("pointerdown", event => {
    if (event.pointerType !== "touch") return;
    for (const other of charts.values()) other.host.classList.toggle("touched", other === chart);
    fingers.set(event.pointerId, place(event));
    before = null;
  });
  plot.over.addEventListener("pointermove", event => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, place(event));
    if (fingers.size === 1) plot.setCursor({left: place(event), top: 10});
    if (fingers.size !== 2) return;
    const [a, b] = [...fingers.values()].sort((x, y) => x - y), width = plot.over.clientWidth, length = group.max - group.min;
    if (before) {
      const scale = Math.min(Math.max((before[1] - before[0]) / Math.max(b - a, 8), 0.5), 2), middle = group.min + before[2] / width * length;
      const from = middle - (a + b) / 2 / width * length * scale;
      zoom(group, from, from + length * scale);
    }
    before = [a, b, (a + b) / 2];
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"])
    plot.over.addEventListener(name, event => { fingers.delete(event.pointerId); before = null; });
}

function handleKey(event, chart) {
  const {plot, group} = chart, times = columns(chart.face).times, last = times.length - 1;
  const current = sampleUnderCursor(chart) ?? Math.floor(last / 2), step = event.shiftKey ? 10 : 1;
  const target = {ArrowLeft: current - step, ArrowRight: current + step, Home: 0, End: last}[event.key];
  if (target !== undefined) {
    const index = Math.min(Math.max(target, 0), last), time = times[index], half = (group.max - group.min) / 2;
    if (time < group.min || time > group.max) zoom(group, time - half, time + half);
    chart.keyed = true;
    chart.index = index;
    queueMicrotask(() => { for (const other of group.charts) other.plot.setCursor({left: plot.valToPos(time, "x"), top: 10}); });
  } else if (event.key === "+" || event.key === "=") zoomBy(group, 0.5);
  else if (event.key === "-") zoomBy(group, 2);
  else if (event.key === "0" || event.key === "Escape") zoom(group, group.video.start, group.video.end);
  else return;
  event.preventDefault();
}

/* the faces of a video; they are built when the video is opened */

function episodesText(face) {
  const parts = face.episodes.slice(0, 12).map(([e, from, to]) => `${EMOTIONS[e]} from ${clock(from)} to ${clock(to)}`);
  const more = face.episodes.length > 12 ? ` and ${face.episodes.length - 12} more` : "";
  return parts.length ? `Episodes: ${parts.join(", ")}${more}.` : "No episodes.";
}

/* "face 3", or "faces 0, 4 and 9" */
function facesText(ids) {
  const listed = ids.length > 6 ? [...ids.slice(0, 5), `${ids.length - 5} more`] : ids;
  return ids.length === 1 ? `face ${ids[0]}` : `faces ${listed.slice(0, -1).join(", ")} and ${listed.at(-1)}`;
}

function faceHead(face) {
  const blank = face.person === null ? face.ids[0] : [...face.name][0].toUpperCase();
  const image = face.thumb ? make("img", {src: face.thumb, alt: face.name, width: 72, height: 72}) : make("span", {class: "blank", text: blank, "aria-hidden": "true"});
  const title = make("h3", {}, make("bdi", {text: face.name.replace(/^(face|person) (?=\d)/, (_, word) => `${word === "face" ? "Face" : "Person"} `)}));
  if (face.role !== null) title.append(make("small", {}, make("bdi", {text: face.role})));
  title.append(make("small", {text: `${face.person === null ? "" : `${facesText(face.ids)} · `}${clock(face.first)} – ${clock(face.last)} · ${counted(face.samples, "sample")} · coverage ${percent(face.coverage)} · quality ${face.quality.toFixed(2).replace(/^0/, "")}`}));
  title.append(make("span", face.trust === "ok" ? {class: "badge", text: "no warning"} : {class: "badge doubt", text: "low trust"}));
  const bars = make("div", {class: "bars", "aria-hidden": "true"});
  const list = make("ul", {class: "percents"});
  const order = face.shares.map((_, i) => i).sort((a, b) => face.shares[b] - face.shares[a]).filter(i => face.shares[i] > 0);
  for (const i of order) {
    const bar = make("i", {class: `c-${EMOTIONS[i]}`});
    bar.style.flexGrow = face.shares[i];
    bars.append(bar);
    list.append(make("li", {class: `c-${EMOTIONS[i]}`}, `${EMOTIONS[i]} `, make("b", {text: percent(face.shares[i])})));
  }
  return make("div", {class: "who"}, image, title, bars, list);
}

const ROWS = 500; /* rows that a table of episodes shows at first */

function episodeTable(face) {
  const head = make("tr", {}, ...["emotion", "from", "to", "length", "peak"].map((text, i) => make("th", {scope: "col", class: i ? "n" : "", text})));
  const row = ([emotion, from, to, peak]) => make("tr", {},
    make("td", {class: `c-${EMOTIONS[emotion]}`, text: EMOTIONS[emotion]}), make("td", {class: "n", text: clock(from)}), make("td", {class: "n", text: clock(to)}),
    make("td", {class: "n", text: `${(to - from).toFixed(1)} s`}), make("td", {class: "n", text: peak.toFixed(2).replace(/^0/, "")}));
  const body = make("tbody"), table = make("div", {class: "scroll"}, make("table", {}, make("thead", {}, head), body));
  const details = make("details", {class: "episodes"}, make("summary", {text: counted(face.episodes.length, "episode")}), table);
  const more = make("button", {type: "button", text: `${face.episodes.length - ROWS} more`, onclick: () => { body.append(...face.episodes.slice(ROWS).map(row)); more.remove(); }});
  details.addEventListener("toggle", () => { /* built when it is opened: a long video has tens of thousands of rows */
    if (body.childElementCount) return;
    body.append(...face.episodes.slice(0, ROWS).map(row));
    if (face.episodes.length > ROWS) table.append(more);
  });
  return details;
}

function faceCard(face, video, group) {
  const host = make("div", {class: "chart", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-label": `Timeline of ${face.name}. Mostly ${EMOTIONS[face.dominant]}. ${episodesText(face)}`});
  const tip = make("div", {class: "tip"}), live = make("span", {class: "hidden", "aria-live": "polite"});
  tip.hidden = true;
  host.append(tip, live);
  const chart = {host, face, video, group, tip, live, plot: null, run: 1, keyed: false, index: null};
  charts.set(host, chart);
  host.addEventListener("keydown", event => { if (chart.plot) handleKey(event, chart); });
  host.addEventListener("mousemove", () => { for (const other of charts.values()) other.keyed = false; }, true);
  host.addEventListener("blur", () => { chart.keyed = false; tip.hidden = true; host.classList.remove("touched"); });
  const pad = Math.max(0.5, 0.05 * (face.last - face.first));
  const tools = make("div", {class: "zoom"},
    make("button", {type: "button", text: "+", "aria-label": "Zoom in", onclick: () => zoomBy(group, 0.5)}),
    make("button", {type: "button", text: "−", "aria-label": "Zoom out", onclick: () => zoomBy(group, 2)}),
    make("button", {type: "button", text: face.person === null ? "this face" : "this person", onclick: () => zoom(group, face.first - pad, face.last + pad)}),
    make("button", {type: "button", text: "whole video", onclick: () => zoom(group, video.start, video.end)}));
  if (face.thinned > 1) tools.append(make("span", {text: `thinned: two points per ${face.thinned} samples`}));
  const card = make("article", {class: "face"}, faceHead(face)), foot = make("div", {class: "foot"}, tools);
  if (face.trust !== "ok") card.append(make("p", {class: "warning", text: `Use with caution: ${face.trust}.`}));
  if (face.episodes.length) foot.prepend(episodeTable(face));
  card.append(host, foot, make("p", {class: "printed", text: episodesText(face), "aria-hidden": "true"}));
  return card;
}

function build(details) {
  const body = details.querySelector(".body");
  if (body.childElementCount) return;
  const video = data.videos[details.dataset.video];
  const group = {key: `video ${details.dataset.video}`, video, min: video.start, max: video.end, charts: [], busy: false};
  if (video.message) body.append(make("p", {class: "warning", text: video.message}));
  if (video.trust && video.count) body.append(make("p", {class: "warning", text: `Use with caution: ${video.trust}.`}));
  if (!video.count) body.append(make("p", {class: "hint", text: "No face was found in this video."}));
  for (const face of video.faces) body.append(faceCard(face, video, group));
  const rest = video.count - video.faces.reduce((sum, face) => sum + face.ids.length, 0), more = video.faces.length ? " more" : "";
  if (rest) body.append(make("p", {class: "hint", text: `${rest}${more} face${rest === 1 ? " was" : "s were"} seen too briefly to be drawn here. The tables include ${rest === 1 ? "it" : "them"}.`}));
  for (const host of body.querySelectorAll(".chart")) visibility.observe(host);
}

function showChart(host) {
  const chart = charts.get(host);
  if (chart.plot) return;
  draw(chart);
  chart.group.charts.push(chart);
  sizes.observe(host);
}

const visibility = new IntersectionObserver(entries => {
  for (const {isIntersecting, target} of entries) {
    if (!isIntersecting) continue;
    visibility.unobserve(target);
    if (target.matches(".chart")) showChart(target);
    else { drawStrip(target, data.videos[target.closest(".video").dataset.video]); target.dataset.drawn = "yes"; sizes.observe(target); }
  }
}, {rootMargin: "400px"});

const sizes = new ResizeObserver(entries => {
  if (printing) return;
  for (const {target, contentRect} of entries) {
    if (target.matches(".strip")) drawStrip(target, data.videos[target.closest(".video").dataset.video]);
    else {
      const {plot} = charts.get(target);
      if (plot && contentRect.width && Math.abs(plot.width - contentRect.width) > 1) plot.setSize({width: Math.max(240, contentRect.width), height: plot.height});
    }
  }
});

function redraw() {
  for (const chart of charts.values()) if (chart.plot) draw(chart);
  for (const canvas of document.querySelectorAll(".strip[data-drawn]")) drawStrip(canvas, data.videos[canvas.closest(".video").dataset.video]);
}

/* opens the video that a link within the page leads to */
function openLinked() {
  const details = document.getElementById(location.hash.slice(1));
  if (!details?.matches(".video")) return;
  details.hidden = false;
  build(details);
  details.open = true;
  details.scrollIntoView();
}

/* controls of the page */

const all = [...document.querySelectorAll(".video")];
for (const details of all) {
  visibility.observe(details.querySelector(".strip"));
  details.addEventListener("toggle", () => { if (details.open) build(details); });
}
for (const button of document.querySelectorAll(".key")) button.addEventListener("click", () => {
  const emotion = Number(button.dataset.emotion);
  shown[emotion] = !shown[emotion];
  button.setAttribute("aria-pressed", shown[emotion]);
  redraw();
});
const onClick = (id, act) => document.getElementById(id)?.addEventListener("click", event => act(event.currentTarget));
onClick("raw", button => { raw = !raw; button.setAttribute("aria-pressed", raw); redraw(); });
onClick("lanes", button => { lanes = !lanes; button.setAttribute("aria-pressed", lanes); redraw(); });
onClick("toggle", button => {
  const open = button.textContent === "Open all";
  for (const details of all) if (!details.hidden) { if (open) build(details); details.open = open; }
  button.textContent = open ? "Close all" : "Open all";
});
document.getElementById("search")?.addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const details of all) details.hidden = !data.videos[details.dataset.video].name.toLowerCase().includes(wanted);
  document.getElementById("nothing").hidden = all.some(details => !details.hidden);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

const MAX_PRINTED = 150; /* largest number of charts to print; a browser cannot hold any number of them */
let opened = [];
addEventListener("beforeprint", () => {
  printing = true;
  opened = [];
  let room = MAX_PRINTED, left = 0;
  for (const details of all) {
    const strip = details.querySelector(".strip"), video = data.videos[details.dataset.video];
    if (!strip.dataset.drawn) drawStrip(strip, video);
    if (details.hidden) continue;
    left += Math.max(0, video.faces.length - room);
    if (!room && video.faces.length && !details.open) continue;
    build(details);
    if (!details.open) { opened.push(details); details.open = true; }
    for (const host of details.querySelectorAll(".chart")) {
      host.closest(".face").classList.toggle("unprinted", !room);
      if (room) { showChart(host); room--; }
    }
  }
  const note = document.getElementById("unprinted");
  note.textContent = left ? `${left} more faces are not printed. At most ${MAX_PRINTED} charts are printed.` : "";
  redraw();
});
addEventListener("afterprint", () => {
  printing = false;
  for (const details of opened) details.open = false;
  redraw();
});

const faces = data.videos.reduce((sum, video) => sum + video.faces.length, 0);
if (all.length <= 3 && faces <= 12) for (const details of all) { build(details); details.open = true; }
else if (all.length) { const first = all.find(details => data.videos[details.dataset.video].faces.length) || all[0]; build(first); first.open = true; }
addEventListener("hashchange", openLinked);
openLinked();
})();
