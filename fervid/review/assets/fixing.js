// The panel that corrects the chosen face. Every action is one line of the corrections file.
import { ask, clock, find, make, Refused } from "./common.js";

const ROLES = ["participant", "interviewer"];
const floor = (time) => (Math.floor(time * 1000) / 1000).toFixed(3), ceil = (time) => (Math.ceil(time * 1000) / 1000).toFixed(3);

export function describe(line) {
  const who = `face ${line.face}`;
  if (line.action === "name") return `${who} is ${line.value}`;
  if (line.action === "role") return `${who} has the role ${line.value}`;
  if (line.action === "person") return line.value === "new" ? `${who} is a person of its own` : `${who} is person ${line.value}`;
  if (line.action === "split") return `${who} split at ${clock(line.start, 3)}`;
  if (line.action === "join") return `${who} joined with face ${line.value}`;
  const range = line.start === null && line.end === null ? "" : ` ${line.start === null ? "" : `from ${clock(line.start, 3)}`}${line.end === null ? "" : ` to ${clock(line.end, 3)}`}`;
  return `${who} excluded${range}${line.value ? `: ${line.value}` : ""}`;
}

export class Fixing extends EventTarget {
  constructor(root, address) {
    super();
    this.root = root;
    this.address = address;
    this.data = null;
    this.face = null;
    this.time = 0;
    this.range = [null, null];
    this.busy = false;
    this.message = "";
  }

  setData(data) { this.data = data; this.draw(); }

  choose(face) {
    if (face === this.face) return;
    this.face = face;
    this.range = [null, null];
    this.message = "";
    this.draw();
  }

  setTime(time) {
    this.time = time;
    const split = find("split");
    if (!split) return;
    const at = this.#splitTime();
    split.disabled = at === null || this.busy;
    split.textContent = at === null ? "Split here" : `Split at ${clock(at, 2)}`;
  }

  #splitTime() { return this.data.faces.get(this.face)?.splitTime(this.time) ?? null; }

  #shot(face) { return this.data.cuts.filter((cut) => cut <= face.first).length; }

  async act(action, cells = {}) {
    if (this.busy) return;
    this.busy = true;
    this.root.setAttribute("aria-busy", "true");
    this.message = "";
    const saving = setTimeout(() => this.root.prepend(make("p", { class: "soft", role: "status" }, "Saving …")), 300);
    try {
      const told = await ask(`${this.address}/${action}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "If-Match": `"${this.data.version}"` },
        body: JSON.stringify(cells),
      });
      this.busy = false;
      this.dispatchEvent(new CustomEvent("changed", { detail: told }));
    } catch (error) {
      this.busy = false;
      this.message = error.message;
      if (error instanceof Refused && error.status === 409) {
        this.message = `Not saved: ${error.message}. The page now shows them; repeat the action if it is still needed.`;
        this.dispatchEvent(new Event("stale"));
      }
      this.draw();
    }
    clearTimeout(saving);
    this.root.removeAttribute("aria-busy");
  }

  draw() {
    const { data } = this, face = data.faces.get(this.face), focus = document.activeElement?.id;
    const parts = [make("h2", {}, face ? `Face ${face.id}` : "Corrections")];
    if (data.refusal) parts.push(make("p", { class: "warn" }, data.refusal));
    if (face) parts.push(...this.#about(face));
    else if (!data.refusal) parts.push(make("p", { class: "soft" }, "Choose a face in the picture or in a lane."));
    if (face && !data.refusal) parts.push(...this.#forms(face));
    if (this.message) parts.push(make("p", { class: "warn", role: "alert" }, this.message));
    if (!data.refusal) parts.push(...this.#history());
    this.root.replaceChildren(...parts);
    this.setTime(this.time);
    if (focus && this.root.querySelector(`#${CSS.escape(focus)}`)) find(focus).focus();
  }

  #about(face) {
    const lane = data => data.lanes.find((one) => one.faces.includes(face.id)), own = lane(this.data);
    const role = own?.role ? `, ${own.role}` : "";
    const parts = [make("p", {}, `${own?.name ?? ""}${role}; seen from ${clock(face.first, 2)} to ${clock(face.last, 2)}`)];
    if (face.trust !== "ok") parts.push(make("p", { class: "warn" }, `⚠ ${face.trust}`));
    return parts;
  }

  #form(children, submit) {
    const form = make("form", {}, ...children);
    form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
    return form;
  }

  #text(id, label, choices, value = "") {
    const input = make("input", { id, list: `${id}-choices`, autocomplete: "off", maxlength: "200" });
    input.value = value;
    const list = make("datalist", { id: `${id}-choices` }, ...choices.map((one) => make("option", { value: one })));
    return [make("label", {}, label, input), list, input];
  }

  #forms(face) {
    const { data } = this, own = data.lanes.find((lane) => lane.faces.includes(face.id));
    const known = [...new Set([...data.lanes.map((lane) => lane.participant), ...data.participants].filter(Boolean))].sort();
    const [nameLabel, nameList, name] = this.#text("name", "participant", known, own?.participant ?? "");
    const [roleLabel, roleList, role] = this.#text("role", "role", ROLES, own?.role ?? "");
    const [reasonLabel, reasonList, reason] = this.#text("reason", "reason to exclude", ["no face", "another person", "covered face"]);
    // a person is named again by the face that named it: two faces of a person with different names are a contradiction
    const ofPerson = new Set(own?.person === null ? own.faces : data.lanes.filter((lane) => lane.person === own?.person).flatMap((lane) => lane.faces));
    const by = (action) => data.corrections.findLast((line) => line.action === action && ofPerson.has(line.face))?.face ?? face.id;
    const say = (action, input) => () => { const value = input.value.trim(); if (value) this.act(action, { face_id: String(by(action)), value }); else input.focus(); };
    const persons = [...new Map(data.lanes.filter((lane) => lane.person !== null && lane.person !== own?.person).map((lane) => [lane.person, lane])).values()];
    const person = make("select", { id: "person" }, ...persons.map((lane) => make("option", { value: String(lane.person) }, lane.name)),
      make("option", { value: "new" }, "a person of its own"));
    const others = [...data.faces.values()].filter((one) => one.id !== face.id && this.#shot(one) === this.#shot(face));
    const other = make("select", { id: "other" }, ...others.map((one) => make("option", { value: String(one.id) }, `face ${one.id} (${clock(one.first, 1)} to ${clock(one.last, 1)})`)));
    const button = (id, text, values = {}) => make("button", { type: "submit", id, ...values }, text);
    const split = make("button", { type: "button", id: "split" }, "Split here");
    split.addEventListener("click", () => { const at = this.#splitTime(); if (at !== null) this.act("split", { face_id: String(face.id), start: floor(at) }); });
    const forms = [
      this.#form([nameLabel, nameList, button("save-name", "Name")], say("name", name)),
      this.#form([roleLabel, roleList, button("save-role", "Set role")], say("role", role)),
      this.#form([make("label", {}, "belongs to", person), button("save-person", "Move")], () => this.act("person", { face_id: String(face.id), value: person.value })),
      make("div", { class: "bar" }, split),
    ];
    if (others.length) forms.push(this.#form([make("label", {}, "same face as", other), button("save-join", "Join")], () => this.act("join", { face_id: String(face.id), value: other.value })));
    return [...forms, this.#exclusion(face, reasonLabel, reasonList, reason)];
  }

  #exclusion(face, label, list, reason) {
    const [from, to] = this.range, shown = (time, text) => (time === null ? text : clock(time, 2));
    const edge = (place, text) => {
      const button = make("button", { type: "button", id: place ? "to-here" : "from-here" }, text);
      button.addEventListener("click", () => { this.range[place] = this.time; this.draw(); });
      return button;
    };
    const whole = from === null && to === null;
    const form = this.#form([label, list, make("button", { type: "submit", id: "save-exclude" }, whole ? "Exclude face" : "Exclude range")], () => {
      const cells = { face_id: String(face.id), value: reason.value.trim() };
      if (from !== null) cells.start = floor(from);
      if (to !== null) cells.end = ceil(to);
      this.act("exclude", cells);
    });
    return make("div", {}, form, make("div", { class: "bar" }, make("span", { class: "soft" },
      `${shown(from, "begin")} to ${shown(to, "end")}:`), edge(0, "from here"), edge(1, "to here")));
  }

  #history() {
    const { corrections, canRedo, file } = this.data;
    const undo = make("button", { type: "button", id: "undo", disabled: !corrections.length }, "Undo");
    const redo = make("button", { type: "button", id: "redo", disabled: !canRedo }, "Redo");
    undo.addEventListener("click", () => this.act("undo"));
    redo.addEventListener("click", () => this.act("redo"));
    const list = make("ol", { id: "history", tabindex: "0", "aria-label": "corrections of this video" }, ...corrections.map((line) => make("li", {}, describe(line))));
    return [make("div", { class: "bar" }, undo, redo, make("span", { class: "soft" }, `${corrections.length} correction${corrections.length === 1 ? "" : "s"}`)),
      list, make("p", { class: "soft path" }, `saved in ${file}`)];
  }
}
