// Timelines: one lane for each person, drawn on canvases that share their time axis and their cursor.
import { clock, make } from "./common.js";
import { countUpTo } from "./faces.js";

export const DASHES = [[], [7, 3], [2, 3], [], [9, 3, 2, 3], [4, 2], [1, 3]];
const HIGH = 96, CURVES = [6, 56], EPISODES = [61, 76], QUALITY = [80, 92], AXIS = 26, SHORTEST = 0.2;
const MOST_LANES = 100;

export class Timeline extends EventTarget {
  constructor(root, data) {
    super();
    this.root = root;
    this.hidden = new Set();
    this.raw = false;
    this.cursor = 0;
    this.chosen = null;
    this.from = 0;
    this.to = 1;
    // the slider is the time axis alone: what is inside a slider does not exist for screen readers
    this.axis = make("canvas", { class: "axis", tabindex: "0", role: "slider", "aria-label": "time in the video", "aria-valuemin": "0" });
    this.rows = make("div", { class: "rows" });
    this.mark = make("div", { class: "cursor", "aria-hidden": "true" });
    this.more = make("p", { class: "soft" });
    root.replaceChildren(make("div", { class: "lane axis-row" }, make("span", {}), this.axis), this.rows, this.mark, this.more);
    this.#listen(this.axis, null);
    this.axis.addEventListener("wheel", (event) => this.#wheel(event, true), { passive: false });
    this.rows.addEventListener("wheel", (event) => this.#wheel(event, event.ctrlKey), { passive: false });
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.setData(data);
    this.whole();
  }

  setData(data) {
    this.data = data;
    const lanes = data.lanes.slice(0, MOST_LANES);
    this.lanes = lanes.map((lane) => {
      const button = make("button", { type: "button", class: "lane-name" }, lane.name);
      button.dataset.faces = lane.faces.join(" ");
      if (lane.role) button.append(make("small", {}, lane.role));
      if (lane.trust.length) button.append(make("small", { class: "doubt", title: lane.trust.join("\n") }, "⚠ doubtful"));
      button.addEventListener("click", () => this.#choose(lane, this.cursor));
      const canvas = make("canvas", { class: "lane-canvas" });
      this.#listen(canvas, lane);
      return { ...lane, button, canvas, row: make("div", { class: "lane" }, button, canvas) };
    });
    this.rows.replaceChildren(...this.lanes.map((lane) => lane.row));
    this.more.textContent = data.lanes.length > lanes.length ? `${data.lanes.length - lanes.length} more lanes are not drawn.` : "";
    this.draw();
  }

  get end() { return Math.max(this.data.duration, SHORTEST); }
  whole() { this.view(0, this.end); }

  view(from, to) {
    const span = Math.min(Math.max(to - from, SHORTEST), this.end);
    this.from = Math.min(Math.max(from, 0), this.end - span);
    this.to = this.from + span;
    this.draw();
  }

  zoom(factor, around = this.cursor) {
    const share = (around - this.from) / (this.to - this.from), span = (this.to - this.from) * factor;
    this.view(around - Math.min(Math.max(share, 0), 1) * span, around + (1 - Math.min(Math.max(share, 0), 1)) * span);
  }

  // text: what a screen reader says about this time
  setCursor(time, follow, text) {
    this.cursor = time;
    this.axis.setAttribute("aria-valuemax", this.end.toFixed(3));
    this.axis.setAttribute("aria-valuenow", time.toFixed(3));
    this.axis.setAttribute("aria-valuetext", text);
    if (follow && (time < this.from || time > this.to)) {
      const span = this.to - this.from;
      this.view(time - span * 0.1, time + span * 0.9);
    }
    this.#placeCursor();
  }

  choose(face) {
    this.chosen = face;
    for (const lane of this.lanes) {
      const own = lane.faces.includes(face);
      lane.row.classList.toggle("chosen", own);
      lane.button.setAttribute("aria-pressed", String(own));
    }
  }

  laneOf(face) { return this.lanes.find((lane) => lane.faces.includes(face)) ?? null; }

  // the face of a lane that is seen at a time, or the nearest
  faceIn(lane, time) {
    const distance = (id) => { const face = this.data.faces.get(id); return Math.max(face.first - time, time - face.until, 0); };
    return [...lane.faces].sort((one, other) => distance(one) - distance(other))[0];
  }

  #choose(lane, time) { this.dispatchEvent(new CustomEvent("choose", { detail: this.faceIn(lane, time) })); }

  #listen(canvas, lane) {
    const timeOf = (event) => {
      const place = canvas.getBoundingClientRect();
      return this.from + Math.min(Math.max((event.clientX - place.left) / place.width, 0), 1) * (this.to - this.from);
    };
    const seek = (event) => this.dispatchEvent(new CustomEvent("seek", { detail: timeOf(event) }));
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      if (lane) this.#choose(lane, timeOf(event));
      seek(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) seek(event);
      this.dispatchEvent(new CustomEvent("hover", { detail: { time: timeOf(event), lane } }));
    });
    canvas.addEventListener("pointerleave", () => this.dispatchEvent(new CustomEvent("hover", { detail: null })));
  }

  #wheel(event, zooms) {
    const place = this.axis.getBoundingClientRect(), span = this.to - this.from;
    if (zooms) {
      event.preventDefault();
      const share = Math.min(Math.max((event.clientX - place.left) / place.width, 0), 1);
      this.zoom(Math.exp(event.deltaY * 0.002), this.from + share * span);
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.view(this.from + event.deltaX / place.width * span, this.to + event.deltaX / place.width * span);
    }
  }

  #placeCursor() {
    const place = this.axis.getBoundingClientRect(), whole = this.root.getBoundingClientRect();
    const share = (this.cursor - this.from) / (this.to - this.from);
    this.mark.hidden = share < 0 || share > 1;
    this.mark.style.transform = `translateX(${place.left - whole.left + share * place.width}px)`;
  }

  draw() {
    if (!this.data) return;
    const style = getComputedStyle(document.documentElement);
    const ink = Object.fromEntries(["back", "front", "soft", "line", "panel", "warn"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.#drawAxis(ink);
    for (const lane of this.lanes) this.#drawLane(lane, ink);
    this.#placeCursor();
  }

  #paper(canvas, height) {
    const dense = devicePixelRatio || 1, width = canvas.clientWidth;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const paper = canvas.getContext("2d");
    paper.setTransform(dense, 0, 0, dense, 0, 0);
    paper.clearRect(0, 0, width, height);
    return [paper, width];
  }

  #drawAxis(ink) {
    const [paper, width] = this.#paper(this.axis, AXIS), span = this.to - this.from;
    const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
    const step = steps.find((one) => one / span * width >= 70) ?? 7200, digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    paper.fillStyle = ink.soft;
    paper.font = "12px system-ui, sans-serif";
    for (let tick = Math.ceil(this.from / step); tick * step <= this.to; tick++) {
      const x = (tick * step - this.from) / span * width, text = clock(tick * step, digits);
      paper.fillRect(x, AXIS - 6, 1, 6);
      paper.fillText(text, Math.min(Math.max(x - paper.measureText(text).width / 2, 0), width - paper.measureText(text).width), 14);
    }
    paper.fillStyle = ink.warn;
    for (const one of this.data.moments) {
      const x = (one.start - this.from) / span * width;
      if (x < 0 || x > width) continue;
      paper.beginPath();
      paper.moveTo(x - 4, AXIS - 9); paper.lineTo(x + 4, AXIS - 9); paper.lineTo(x, AXIS - 1);
      paper.fill();
    }
  }

  #drawLane(lane, ink) {
    const [paper, width] = this.#paper(lane.canvas, HIGH), span = this.to - this.from;
    const place = { paper, width, x: (time) => (time - this.from) / span * width, ink };
    hatch(paper, 0, 0, width, HIGH, ink);
    for (const id of lane.faces) this.#drawFace(this.data.faces.get(id), place);
    for (const one of this.data.moments) if (lane.faces.includes(one.face)) drawDoubt(one, place);
    paper.fillStyle = ink.front;
    for (const cut of this.data.cuts) {
      const x = place.x(cut);
      if (x < 0 || x > width) continue;
      for (let y = 0; y < HIGH; y += 6) paper.fillRect(x, y, 1, 3);
    }
  }

  #drawFace(face, place) {
    const { paper, x, width, ink } = place, begin = Math.max(countUpTo(face.times, this.from) - 2, 0);
    const end = Math.min(countUpTo(face.times, this.to) + 2, face.times.length);
    if (face.until < this.from || face.first > this.to) return;
    let start = begin;
    for (let number = begin; number < end; number++) {  // runs without a gap
      if (number + 1 < end && !face.gapAfter.has(number)) continue;
      const last = number + 1 < face.times.length ? face.times[number] : face.until;
      const left = Math.max(x(face.times[start]), 0), right = Math.min(x(last), width);
      paper.fillStyle = ink.back;
      paper.fillRect(left, 0, Math.max(right - left, 2), HIGH);
      if (this.raw) this.#curves(face, "raw", start, number + 1, place, 0.4, 1);
      this.#curves(face, "smooth", start, number + 1, place, 1, 1.6);
      drawQuality(face, start, number + 1, place, this.data.minQuality);
      start = number + 1;
    }
    for (const one of this.data.episodes) if (one.face === face.id) drawEpisode(one, place, this.data.emotions);
  }

  #curves(face, kind, start, end, { paper, x, width }, alpha, thick) {
    const columns = this.data.emotions.length, [top, bottom] = CURVES, every = Math.max(1, Math.floor((end - start) / (width * 4)));
    paper.globalAlpha = alpha;
    paper.lineWidth = thick;
    this.data.emotions.forEach((emotion, column) => {
      if (this.hidden.has(emotion.name)) return;
      const y = (value) => bottom - (value ?? 0) * (bottom - top);
      paper.strokeStyle = emotion.color;
      paper.setLineDash(DASHES[column]);
      paper.beginPath();
      for (let first = start; first < end; first += every) {  // where samples are dense: smallest and largest of each few
        let low = 1, high = 0;
        for (let number = first; number < Math.min(first + every, end); number++) {
          const value = face[kind][number * columns + column] ?? 0;
          low = Math.min(low, value); high = Math.max(high, value);
        }
        const across = x(face.times[first]);
        if (first === start) paper.moveTo(across, y(high)); else paper.lineTo(across, y(high));
        if (every > 1) paper.lineTo(across, y(low));
      }
      if (end - start === 1) paper.lineTo(x(face.times[start]) + 3, y(face[kind][start * columns + column]));
      paper.stroke();
    });
    paper.setLineDash([]);
    paper.globalAlpha = 1;
  }
}

function hatch(paper, left, top, width, height, ink) {
  paper.fillStyle = ink.panel;
  paper.fillRect(left, top, width, height);
  paper.save();
  paper.beginPath();
  paper.rect(left, top, width, height);
  paper.clip();
  paper.strokeStyle = ink.line;
  paper.lineWidth = 1;
  paper.beginPath();
  for (let x = left - height; x < left + width; x += 9) { paper.moveTo(x, top + height); paper.lineTo(x + height, top); }
  paper.stroke();
  paper.restore();
}

function drawQuality(face, start, end, { paper, x, ink, width }, least) {
  const [top, bottom] = QUALITY;
  let before = -1, lowest = 1;
  for (let number = start; number < end; number++) {
    const left = Math.floor(x(face.times[number])), value = Math.min(face.quality[number] ?? 0, 1);
    lowest = Math.min(lowest, value);
    if (left === before || left > width) continue;
    const right = number + 1 < end ? x(face.times[number + 1]) : end < face.times.length ? left + 2 : x(face.until);
    paper.fillStyle = lowest < least ? ink.warn : ink.soft;
    paper.fillRect(left, bottom - Math.max(lowest * (bottom - top), 1), Math.max(right - left, 1), Math.max(lowest * (bottom - top), 1));
    if (lowest < least) paper.fillRect(left, top, Math.max(right - left, 1), 2);
    before = left;
    lowest = 1;
  }
}

function drawEpisode(one, { paper, x, width, ink }, emotions) {
  const left = x(one.onset), right = x(one.offset), [top, bottom] = EPISODES;
  if (right < 0 || left > width) return;
  const shown = Math.max(left, 0), wide = Math.max(Math.min(right, width) - shown - 1, 2);
  paper.fillStyle = emotions.find((emotion) => emotion.name === one.emotion)?.color ?? ink.soft;
  paper.fillRect(shown, top, wide, bottom - top);
  paper.font = "600 11px system-ui, sans-serif";
  if (paper.measureText(one.emotion).width + 8 < wide) {
    paper.fillStyle = one.emotion === "sad" ? "#fff" : "#000";  // the contrast is above 4.5 on each colour
    paper.textBaseline = "middle";
    paper.fillText(one.emotion, shown + 4, (top + bottom) / 2 + 0.5);
    paper.textBaseline = "alphabetic";
  }
}

function drawDoubt(one, { paper, x, width, ink }) {
  const left = Math.max(x(one.start), 0), right = Math.min(x(one.end), width);
  if (right < 0 || left > width) return;
  paper.fillStyle = ink.warn;
  paper.fillRect(left, 0, Math.max(right - left, 3), 3);
  paper.beginPath();
  paper.moveTo(left, 3); paper.lineTo(left + 9, 3); paper.lineTo(left, 12);
  paper.fill();
}
