// The picture of a time: the nearest frame that the page stores, or the exact one where the video itself can be played.
import { clock, countUpTo, make } from "./basics.js";
import { counted } from "./values.js";

const SAME = 0.101;  // seconds between a stored frame and the exact one for which the boxes of faces still fit

export class Picture {
  // names: face_id → [place of its lane, name]
  constructor(pictures, names) {
    this.pictures = pictures;
    this.names = names;
    this.times = pictures.times ?? [];
    this.chosen = null;
    this.time = null;
    this.image = make("img", { alt: "", decoding: "sync" });
    this.boxes = make("canvas", { "aria-hidden": "true" });
    this.video = null;
    this.stage = make("div", { class: "stage" }, this.image, this.boxes);
    this.caption = make("p", { class: "caption", role: "status" });
    const button = (text, label, act) => { const made = make("button", { type: "button", "aria-label": label, title: label }, text); made.addEventListener("click", act); return made; };
    this.readout = make("p", { class: "readout" });
    this.larger = button("larger", "show the picture larger", () => this.#enlarge());
    this.larger.setAttribute("aria-pressed", "false");
    this.tools = make("div", { class: "zoom" }, button("◀", "stored frame before", () => this.#move(-1)), button("▶", "next stored frame", () => this.#move(1)), this.larger);
    this.hint = make("p", { class: "hint" });
    this.root = make("aside", { class: "picture", "aria-label": "Picture" }, this.stage, this.caption, this.readout, this.tools, this.hint);
    this.onmove = () => {};  // called with the time of a stored frame to go to
    this.mayPlay = Boolean(pictures.file) && location.protocol === "file:";
    this.image.addEventListener("load", () => this.#drawBoxes());
    new ResizeObserver(() => this.#drawBoxes()).observe(this.stage);
    this.#explain();
  }

  get isEmpty() { return !this.times.length && !this.mayPlay; }

  // shows the picture of a time, with the face of a lane marked, and a text about it
  show(time, lane, text) {
    this.readout.textContent = text;
    this.time = time;
    this.lane = lane;
    const after = Math.min(countUpTo(this.times, time), this.times.length - 1), before = Math.max(after - 1, 0);
    this.place = Math.abs(this.times[after] - time) < Math.abs(this.times[before] - time) ? after : before;
    if (this.times.length) {
      this.image.src = `data:image/webp;base64,${this.pictures.images[this.place]}`;
      this.image.alt = `frame at ${clock(this.times[this.place], 2)}`;
    }
    this.#settle(false);
    if (this.mayPlay) this.#seek();
  }

  #settle(exact) {
    this.exact = exact;
    this.stage.classList.toggle("exact", exact);
    const stored = this.times[this.place], apart = stored === undefined ? 0 : stored - this.time;
    const parts = exact ? [make("b", {}, clock(this.time, 2)), " exact frame of the video"]
      : stored === undefined ? [make("b", {}, clock(this.time, 2)), " no frame is stored"]
        : [make("b", {}, clock(stored, 2)), Math.abs(apart) < 0.005 ? " stored frame" : ` nearest stored frame, ${Math.abs(apart).toFixed(2)} s ${apart < 0 ? "before" : "after"} ${clock(this.time, 2)}`];
    this.caption.replaceChildren(...parts);
    this.#drawBoxes();
  }

  #seek() {
    if (!this.video) {
      this.video = make("video", { muted: true, playsInline: true, preload: "auto" });
      this.video.addEventListener("error", () => this.#giveUp());
      this.video.addEventListener("seeked", () => { if (this.aimOf === this.time) this.#settle(true); else this.#seek(); });
      this.stage.prepend(this.video);
      this.video.src = this.pictures.file;
    }
    if (this.video.seeking) return;
    this.aimOf = this.time;
    this.video.currentTime = this.time + 0.001;  // a frame begins at its time: just after it, and not on the edge
  }

  #giveUp() {
    this.mayPlay = false;
    this.video.remove();
    this.#settle(false);
    this.#explain();
  }

  #explain() {
    const { pictures } = this, parts = [];
    if (this.times.length) parts.push(`${counted(this.times.length, "frame")} of this video ${this.times.length === 1 ? "is" : "are"} stored.`);
    if (this.mayPlay) parts.push("The exact frame comes from the video on this computer.");
    else if (pictures.file) parts.push("The exact frame is shown only where the video lies as it did when this page was written.");
    else if (pictures.why) parts.push(`The exact frame cannot be shown: ${pictures.why}.`);
    this.hint.textContent = parts.join(" ");
  }

  #enlarge() {
    const large = this.root.parentElement.classList.toggle("large");
    this.larger.setAttribute("aria-pressed", String(large));
    this.larger.textContent = large ? "smaller" : "larger";
  }

  #move(step) {
    if (!this.times.length) return;
    const now = this.times[this.place];
    const place = step > 0 ? countUpTo(this.times, Math.max(this.time, now)) : countUpTo(this.times, Math.min(this.time, now) - 1e-6) - 1;
    this.onmove(this.times[Math.min(Math.max(place, 0), this.times.length - 1)]);
  }

  #drawBoxes() {
    const { boxes } = this, width = this.stage.clientWidth, height = this.stage.clientHeight, dense = devicePixelRatio || 1;
    boxes.width = Math.round(width * dense);
    boxes.height = Math.round(height * dense);
    const stored = this.times[this.place];
    if (stored === undefined || !width || (this.exact && Math.abs(stored - this.time) > SAME)) return;
    const paper = boxes.getContext("2d"), source = this.exact ? [this.video.videoWidth, this.video.videoHeight] : [this.image.naturalWidth, this.image.naturalHeight];
    const scale = Math.min(width / source[0], height / source[1]), across = source[0] * scale, down = source[1] * scale;
    if (!(scale > 0) || !Number.isFinite(scale)) return;
    paper.scale(dense, dense);
    paper.translate((width - across) / 2, (height - down) / 2);
    const crowd = this.pictures.boxes[this.place].length > 4, labels = [];
    for (const [face, x, y, wide, high] of this.pictures.boxes[this.place]) {
      const [lane, name] = this.names.get(face) ?? [null, ""], own = lane !== null && lane === this.lane;
      const place = [x * across, y * down, wide * across, high * down];
      paper.lineWidth = own ? 4 : 3;
      paper.strokeStyle = "rgba(0, 0, 0, .7)";
      paper.strokeRect(...place);
      paper.lineWidth = own ? 2.5 : 1.2;
      paper.strokeStyle = own ? "#ffd84d" : "#ffffff";
      paper.strokeRect(...place);
      if (name && (own || !crowd)) labels.push([name, place]);
    }
    for (const [name, place] of labels) this.#label(paper, name, place, across);
  }

  #label(paper, name, [x, y, , high], width) {
    paper.font = "600 12px system-ui, sans-serif";
    const text = name.length > 24 ? `${name.slice(0, 23)}…` : name, wide = paper.measureText(text).width + 8, top = y >= 17 ? y - 17 : y + high;
    const left = Math.max(0, Math.min(x, width - wide));
    paper.fillStyle = "rgba(0, 0, 0, .78)";
    paper.fillRect(left, top, wide, 16);
    paper.fillStyle = "#fff";
    paper.fillText(text, left + 4, top + 12);
  }
}
