// Timelines: lanes drawn on canvases that share a time axis, a zoom and a cursor. The pages of report, review and
// study use it (fervid.charts.page_templates.inlined puts it into a page that needs no other file):
//
//   const timeline = new Timeline(root, data, options);   // root: an empty element; its style is timeline.css
//
// data = {
//   start, end     the seconds that the axis covers; start may be below 0 (seconds around an event)
//   series         [{ name, color: "#rrggbb" }]: the lines of every lane
//   lanes          [{ name, tracks, episodes, doubts, from, until, ... }]: from and until are the seconds in which it could
//                  be seen; absent: from its first to its last sample. What else a lane holds is for options.head and .foot
//   range          [low, high] of the values; [0, 1] if absent
//   cuts           [seconds]: dotted vertical lines through all lanes; may be absent
//   minQuality     a lower quality is marked; may be absent
//   rows           [{ name, range: [low, high] }]: measures that are drawn below the lines, if timeline.measures; may be absent
// }
// track = {
//   id             a number or a text that no other track has
//   times          n increasing seconds
//   until          the second until which the last sample is shown; times[n - 1] if absent
//   gaps           a Set of the places of samples after which nothing was seen; may be absent
//   smooth         a list of n values for each series: the thick line; null or NaN: no line there
//   raw            the same for the thin line, if timeline.raw; may be absent
//   low, high      the same for a band around the thick line, such as an interval; may be absent
//   quality        n values from 0 to 1: bars at the bottom of the lane; may be absent
//   rows           a list of n numbers for each of data.rows: where between low and high its value lies, from 0 to 1; null:
//                  unknown; may be absent
//   faint          true: a thin pale line and nothing else, such as one of many participants; not read by the pointer
//   note           a text beside the values; may be absent
// }
// episode = { series: its place in data.series, start, end }; doubt = { start, end }. Both lists may be absent, and so may
// lane.spans: [{ row: its place in data.rows, start, end }], events that are found in a measure.
//
// options, all of which may be absent = {
//   height         pixels of the lines of a lane; 50
//   gutter         pixels to the left of the lines, in which the values of the grid are written; 0: no grid
//   head(lane)     the element before the canvas of a lane; its name as text
//   foot(lane)     an element below it, or null
//   describe(lane) what a screen reader says about a lane. Lanes then take the focus of the keyboard
//   keys           true: the timeline handles the keys itself while its axis or a lane has the focus
//   tip            true: a box beside the pointer shows the values; "mouse": not for touch and keys
//   tools          an element beside the time axis, such as buttons
//   digits         digits of the values in that box; 2
// }
//
// Events: "seek" with { time, lane, keyed } (a click, a drag, a tap or a key; the page answers with setCursor),
// "choose" with the id of a track, "hover" with { time, lane } or null.
import { clock, countUpTo, make, TOLERANCE } from "./basics.js";
import { AXIS, drawAxis, drawLane, EPISODE, inside, isNumber, QUALITY, ROW, SPLIT, untilOf } from "./drawing.js";

const TOP = 6, SHORTEST = 0.2, MOST_LANES = 100;  // pixels above the lines, shortest seconds shown, lanes drawn at first
const NEAR = 400, PRINTED_WIDTH = 660;  // pixels beyond the window in which lanes are drawn; pixels of a printed lane
const INKS = ["back", "front", "soft", "line", "panel", "warn"];
// paper is white, even where the screen is dark
const PAPER = { back: "#ffffff", front: "#000000", soft: "#444444", line: "#cccccc", panel: "#f4f4f4", warn: "#6b3a00" };

// the place of the sample nearest to a time; -1 where the track is not seen, by more than slack seconds
export function sampleAt(track, time, slack = 0) {
  const { times } = track, last = times.length - 1, before = countUpTo(times, time + TOLERANCE) - 1;
  if (before < 0) return times[0] - time <= slack ? 0 : -1;
  if (before === last) return time <= untilOf(track) + Math.max(slack, TOLERANCE) ? last : -1;
  const nearest = time - times[before] <= times[before + 1] - time ? before : before + 1;
  return track.gaps?.has(before) && Math.abs(times[nearest] - time) > Math.max(slack, TOLERANCE) ? -1 : nearest;
}

export class Timeline extends EventTarget {
  #fingers = new Map();
  #pinch = null;
  #pinched = false;

  constructor(root, data, options = {}) {
    super();
    this.root = root;
    this.options = options;
    this.hidden = new Set();  // names of series that are not drawn
    this.raw = false;
    this.split = false;  // each series in a row of its own
    this.measures = false;  // draw data.rows
    this.printing = false;
    this.cursor = null;
    this.chosen = null;
    this.most = MOST_LANES;
    this.from = 0;
    this.to = 1;
    root.classList.add("timeline");
    // the slider is the time axis alone: what is inside a slider does not exist for screen readers
    this.axis = make("canvas", { class: "axis", tabindex: "0", role: "slider", "aria-label": "time" });
    this.rows = make("div", { class: "rows" });
    this.more = make("button", { type: "button", class: "more-lanes" });
    this.more.addEventListener("click", () => { this.most += MOST_LANES; this.setData(this.data); });
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.live = make("span", { class: "unseen", "aria-live": "polite" });
    const mark = make("div", { class: "cursor", "aria-hidden": "true" });
    root.replaceChildren(make("div", { class: "lane axis-row" }, options.tools ?? make("span", {}), make("div", { class: "plot" }, this.axis, mark)), this.rows, this.more, this.tip, this.live);
    this.#listen(this.axis, null);
    root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    if (options.keys) root.addEventListener("keydown", (event) => this.#key(event));
    this.near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.#seen(this.lanes.find((lane) => lane.canvas === target), isIntersecting);
    }, { rootMargin: `${NEAR}px` });
    let width = 0;
    new ResizeObserver(() => { if (!this.printing && width !== root.clientWidth) { width = root.clientWidth; this.draw(); } }).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.setData(data);
    this.whole();
  }

  // new data; what is shown of the time stays
  setData(data) {
    this.data = data;
    this.series = data.series;
    this.range = data.range ?? [0, 1];
    const everyTrack = data.lanes.flatMap((lane) => lane.tracks);
    this.hasEpisodes = data.lanes.some((lane) => lane.episodes?.length);
    this.hasQuality = everyTrack.some((track) => track.quality);
    this.near.disconnect();
    this.lanes = data.lanes.slice(0, this.most).map((lane) => this.#makeLane(lane));
    this.rows.replaceChildren(...this.lanes.map((lane) => lane.row));
    for (const lane of this.lanes) this.near.observe(lane.canvas);
    const more = data.lanes.length - this.lanes.length;
    this.more.hidden = more <= 0;
    this.more.textContent = `show ${Math.min(more, MOST_LANES)} more of ${more} lanes`;
    this.axis.setAttribute("aria-valuemin", data.start.toFixed(3));
    this.axis.setAttribute("aria-valuemax", this.end.toFixed(3));
    this.choose(this.chosen);
    this.draw();
  }

  #makeLane(lane) {
    const { head, foot, describe } = this.options, canvas = make("canvas", { class: "lane-canvas" });
    const made = { ...lane, canvas, isNear: false, tracks: lane.tracks.filter((track) => track.times.length) };
    if (describe) for (const [name, value] of Object.entries({ tabindex: "0", role: "group", "aria-roledescription": "chart", "aria-label": describe(lane) })) canvas.setAttribute(name, value);
    else canvas.setAttribute("aria-hidden", "true");
    this.#listen(canvas, made);
    made.head = head ? head(made) : make("span", { class: "lane-name" }, lane.name);
    made.row = make("div", { class: "lane" }, made.head, make("div", { class: "plot" }, canvas, make("div", { class: "cursor", "aria-hidden": "true" })), foot?.(made));
    return made;
  }

  get end() { return Math.max(this.data.end, this.data.start + SHORTEST); }

  whole() { this.view(this.data.start, this.end); }

  view(from, to) {
    const { start } = this.data, span = inside(to - from, SHORTEST, this.end - start);
    this.from = inside(from, start, this.end - span);
    this.to = this.from + span;
    this.draw();
  }

  zoom(factor, around = this.cursor ?? (this.from + this.to) / 2) {
    const share = inside((around - this.from) / (this.to - this.from), 0, 1), span = inside((this.to - this.from) * factor, SHORTEST, this.end - this.data.start);
    this.view(around - share * span, around + (1 - share) * span);
  }

  // follow: move the shown time if the cursor leaves it; text: what a screen reader says about this time
  setCursor(time, follow = false, text = clock(time, 2)) {
    this.cursor = time;
    this.axis.setAttribute("aria-valuenow", time.toFixed(3));
    this.axis.setAttribute("aria-valuetext", text);
    if (follow && (time < this.from || time > this.to)) {
      const span = this.to - this.from;
      this.view(time - span * 0.1, time + span * 0.9);
    }
    this.#placeCursor();
  }

  choose(id) {
    this.chosen = id;
    for (const lane of this.lanes) {
      const own = id !== null && lane.tracks.some((track) => track.id === id);
      lane.row.classList.toggle("chosen", own);
      if (lane.head.matches("button")) lane.head.setAttribute("aria-pressed", String(own));
    }
  }

  laneOf(id) { return this.lanes.find((lane) => lane.tracks.some((track) => track.id === id)) ?? null; }

  // the track of a lane that is seen at a time, or the nearest
  trackAt(lane, time) {
    const distance = (track) => Math.max(track.times[0] - time, time - untilOf(track), 0);
    return [...lane.tracks].sort((one, other) => distance(one) - distance(other))[0] ?? null;
  }

  // says that a lane was chosen, at a time or at the cursor
  pick(lane, time = this.cursor ?? this.from) {
    const track = this.trackAt(lane, time);
    if (track) this.dispatchEvent(new CustomEvent("choose", { detail: track.id }));
  }

  // draws at most this many lanes for paper; the others get the class "unprinted". Returns how many are drawn.
  print(most = Infinity) {
    this.printing = true;
    const wanted = Math.min(most, this.data.lanes.length);
    if (wanted > this.lanes.length) { this.most = wanted; this.setData(this.data); }
    this.lanes.forEach((lane, place) => lane.row.classList.toggle("unprinted", place >= most));
    this.draw();
    return Math.min(most, this.lanes.length);
  }

  endPrint() {
    this.printing = false;
    this.draw();
  }

  // pointer, wheel and keys

  #timeAt(clientX) {
    const place = this.axis.getBoundingClientRect(), left = place.left + this.gutter;
    return this.from + inside((clientX - left) / Math.max(place.width - this.gutter, 1), 0, 1) * (this.to - this.from);
  }

  #seek(time, lane, keyed = false) { this.dispatchEvent(new CustomEvent("seek", { detail: { time, lane, keyed } })); }

  #listen(canvas, lane) {
    const touches = (event) => event.pointerType === "touch";
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      if (touches(event)) {  // a tap is known when the finger leaves: it may become a scroll or a pinch
        this.#fingers.set(event.pointerId, event.clientX);
        this.#pinched = this.#fingers.size > 1;
        this.#pinch = null;
        return;
      }
      if (lane) this.pick(lane, this.#timeAt(event.clientX));
      this.#seek(this.#timeAt(event.clientX), lane);
    });
    canvas.addEventListener("pointermove", (event) => {
      const time = this.#timeAt(event.clientX);
      if (this.#fingers.has(event.pointerId)) this.#fingers.set(event.pointerId, event.clientX);
      if (this.#fingers.size === 2) { this.#spread(); return; }
      if (canvas.hasPointerCapture(event.pointerId) && !this.#pinched) this.#seek(time, lane);
      this.#hover(time, lane, touches(event));
    });
    const leave = (event) => { this.#fingers.delete(event.pointerId); this.#pinch = null; };
    canvas.addEventListener("pointerup", (event) => {
      if (touches(event) && this.#fingers.has(event.pointerId) && !this.#pinched) {
        const time = this.#timeAt(event.clientX);
        if (lane) this.pick(lane, time);
        this.#seek(time, lane);
        this.#hover(time, lane, true);
      }
      leave(event);
      if (!this.#fingers.size) this.#pinched = false;
    });
    canvas.addEventListener("pointercancel", leave);
    canvas.addEventListener("pointerleave", (event) => { if (!touches(event)) this.#hover(null, null); });
    canvas.addEventListener("blur", () => this.#hover(null, null));
  }

  // two fingers: the times under them stay under them
  #spread() {
    const [left, right] = [...this.#fingers.values()].sort((one, other) => one - other);
    if (!this.#pinch) { this.#pinch = [this.#timeAt(left), this.#timeAt(right)]; return; }
    const place = this.axis.getBoundingClientRect(), width = Math.max(place.width - this.gutter, 1);
    const [first, second] = this.#pinch, perPixel = Math.max(second - first, 1e-3) / Math.max(right - left, 8);
    const from = first - (left - place.left - this.gutter) * perPixel;
    this.view(from, from + width * perPixel);
  }

  #hover(time, lane, isTouch = false) {
    this.dispatchEvent(new CustomEvent("hover", { detail: time === null ? null : { time, lane } }));
    if (this.options.tip) this.#showTip(isTouch && this.options.tip === "mouse" ? null : time, lane);
  }

  #wheel(event) {
    if (!event.target.matches("canvas")) return;
    const place = this.axis.getBoundingClientRect(), span = this.to - this.from;
    if (event.ctrlKey || event.target === this.axis) {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.002), this.#timeAt(event.clientX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.view(this.from + event.deltaX / place.width * span, this.to + event.deltaX / place.width * span);
    }
  }

  #key(event) {
    if (!event.target.matches("canvas") || event.ctrlKey || event.metaKey || event.altKey) return;
    const lane = this.lanes.find((one) => one.canvas === event.target) ?? this.laneOf(this.chosen) ?? this.lanes[0] ?? null;
    const moves = lane && timesOf(lane).length;
    const { key, shiftKey } = event, actions = {
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.whole(), Escape: () => this.whole(),
      ...(moves && { ArrowLeft: () => this.#step(lane, shiftKey ? -10 : -1), ArrowRight: () => this.#step(lane, shiftKey ? 10 : 1),
        Home: () => this.#step(lane, -Infinity), End: () => this.#step(lane, Infinity), n: () => this.#jump(lane, 1), p: () => this.#jump(lane, -1) }),
    };
    if (!actions[key]) return;
    event.preventDefault();
    actions[key]();
  }

  // moves the cursor by so many samples of a lane
  #step(lane, count) {
    const times = timesOf(lane), now = this.cursor ?? this.from - 1;
    const before = countUpTo(times, now + TOLERANCE) - 1, exact = before >= 0 && now - times[before] <= TOLERANCE;
    const place = count < 0 ? before + (exact ? 0 : 1) + count : before + count;
    this.#goTo(lane, times[inside(place, 0, times.length - 1)]);
  }

  // moves the cursor to the next or previous episode, doubt or cut
  #jump(lane, direction) {
    const stops = [...(lane.episodes ?? []), ...(lane.doubts ?? [])].map((one) => one.start).concat(this.data.cuts ?? []).sort((one, other) => one - other);
    const now = this.cursor ?? this.from - 1;
    const found = direction > 0 ? stops.find((time) => time > now + TOLERANCE) : stops.findLast((time) => time < now - TOLERANCE);
    if (found !== undefined) this.#goTo(lane, found);
  }

  #goTo(lane, time) {
    const half = (this.to - this.from) / 2;
    if (time < this.from || time > this.to) this.view(time - half, time + half);
    this.pick(lane, time);
    this.#seek(time, lane, true);
    if (this.options.tip) this.#showTip(this.options.tip === "mouse" ? null : time, lane);
    const read = this.readAt(lane, time);
    this.live.textContent = `${clock(time)}: ${read ? `${this.series[read.order[0]].name} ${this.number(read.track.smooth[read.order[0]][read.row])}` : "not seen"}`;
  }

  number(value) { return isNumber(value) ? value.toFixed(this.options.digits ?? 2).replace(/^(-?)0\./, "$1.").replace("-", "−") : "–"; }

  // the track of a lane that is seen at a time, the place of its nearest sample, and the series in order of their values
  readAt(lane, time) {
    const slack = 6 / Math.max(this.axis.clientWidth - this.gutter, 1) * (this.to - this.from);
    const found = lane.tracks.filter((one) => !one.faint).map((track) => [track, sampleAt(track, time), track]).find(([, row]) => row >= 0)
      ?? lane.tracks.filter((one) => !one.faint).map((track) => [track, sampleAt(track, time, slack)]).find(([, row]) => row >= 0);
    if (!found) return null;
    const [track, row] = found, value = (place) => track.smooth[place][row] ?? -Infinity;
    return { track, row, order: this.series.map((_, place) => place).sort((one, other) => value(other) - value(one)) };
  }

  #showTip(time, lane) {
    this.tip.hidden = time === null || !lane;
    if (this.tip.hidden) return;
    const read = this.readAt(lane, time), texts = [make("b", {}, clock(read ? read.track.times[read.row] : time, 2))];
    if (!read) texts.push(make("span", {}, "not found"));
    else if (read.track.quality) texts.push(make("span", {}, `quality ${this.number(read.track.quality[read.row])}`));
    if (read?.track.note) texts.push(make("span", {}, read.track.note));
    const list = make("ul", {});
    for (const place of read?.order ?? []) {
      const { track, row } = read, others = track.raw ? [track.raw[place][row]] : track.low ? [track.low[place][row], track.high[place][row]] : [];
      const swatch = make("i", { class: "swatch" });
      swatch.style.background = this.series[place].color;
      list.append(make("li", {}, swatch, make("span", {}, this.series[place].name), make("b", {}, this.number(track.smooth[place][row])), ...others.map((value) => make("span", { class: "other" }, this.number(value)))));
    }
    if (this.measures && read?.track.rows) {
      this.data.rows.forEach(({ name, range: [low, high] }, place) => {
        const share = read.track.rows[place][read.row], value = isNumber(share) ? low + share * (high - low) : null;
        list.append(make("li", {}, make("i", { class: "swatch" }), make("span", {}, name), make("b", {}, high > 1 && isNumber(value) ? `${Math.round(value)}°` : this.number(value))));
      });
    }
    this.tip.replaceChildren(make("p", {}, ...texts), list);
    const around = this.root.getBoundingClientRect(), place = lane.canvas.getBoundingClientRect();
    const x = place.left - around.left + this.gutter + (time - this.from) / (this.to - this.from) * (place.width - this.gutter), room = around.width;
    this.tip.style.left = `${x + 14 + this.tip.offsetWidth < room ? x + 14 : Math.max(0, x - 14 - this.tip.offsetWidth)}px`;
    this.tip.style.top = `${place.top - around.top + 4}px`;
  }

  #placeCursor() {
    const share = this.cursor === null ? -1 : (this.cursor - this.from) / (this.to - this.from);
    this.root.classList.toggle("no-cursor", share < 0 || share > 1);
    this.root.style.setProperty("--cursor-at", `${this.gutter + share * (this.axis.clientWidth - this.gutter)}px`);
  }

  // drawing

  get gutter() { return this.options.gutter ?? 0; }

  // heights within a lane
  get places() {
    const lines = this.split ? this.series.length * SPLIT : this.options.height ?? 50;
    const places = { lines: [TOP, TOP + lines], height: TOP + lines };
    if (this.hasEpisodes) { places.episodes = [places.height + 5, places.height + 5 + EPISODE]; places.height += 5 + EPISODE; }
    if (this.measures && this.data.rows?.length) { places.rows = places.height + 4; places.height += 4 + this.data.rows.length * ROW; }
    if (this.hasQuality) { places.quality = [places.height + 4, places.height + 4 + QUALITY]; places.height += 4 + QUALITY; }
    places.height += 4;
    return places;
  }

  #seen(lane, isNear) {
    if (!lane) return;
    lane.isNear = isNear;
    if (isNear) this.#drawLane(lane, this.#ink());
    else if (!this.printing) lane.canvas.width = 1;  // gives the memory back
  }

  #ink() {
    if (this.printing) return PAPER;
    const style = getComputedStyle(this.root);
    return Object.fromEntries(INKS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  draw() {
    if (!this.data) return;
    const ink = this.#ink(), height = `${this.places.height}px`;
    drawAxis(this.#sheet(this.axis, AXIS, ink));
    for (const lane of this.lanes) {
      if (lane.canvas.style.height !== height) lane.canvas.style.height = height;
      if (!this.printing && !lane.isNear) lane.isNear = nearWindow(lane.canvas);  // the observer may tell it later
      if (this.printing ? !lane.row.classList.contains("unprinted") : lane.isNear) this.#drawLane(lane, ink);
    }
    this.#placeCursor();
  }

  #drawLane(lane, ink) {
    if (lane.canvas.clientWidth || this.printing) drawLane(lane, this.#sheet(lane.canvas, this.places.height, ink));
  }

  #sheet(canvas, height, ink) {
    const dense = this.printing ? 2 : devicePixelRatio || 1, width = this.printing ? PRINTED_WIDTH : canvas.clientWidth;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const paper = canvas.getContext("2d"), scale = (width - this.gutter) / (this.to - this.from);
    paper.setTransform(dense, 0, 0, dense, 0, 0);
    paper.clearRect(0, 0, width, height);
    return { paper, width, left: this.gutter, x: (time) => this.gutter + (time - this.from) * scale, ink, places: this.places, view: this };
  }
}

function nearWindow(canvas) {
  const { top, bottom, width } = canvas.getBoundingClientRect();
  return width > 0 && bottom > -NEAR && top < innerHeight + NEAR;
}

// the times of all samples of a lane
function timesOf(lane) {
  lane.allTimes ??= [...new Set(lane.tracks.filter((track) => !track.faint).flatMap((track) => Array.from(track.times)))].sort((one, other) => one - other);
  return lane.allTimes;
}
