// The contact sheet: faces of each person. A face dragged to another person moves there.
import { ask, clock, make } from "./common.js";

const KIND = "application/x-fervid-face";

function group(title, person, images, data, actions) {
  const box = make("div", { class: "people" }, make("h3", {}, title));
  for (const one of images) {
    const button = make("button", { type: "button", draggable: !data.refusal, title: `face ${one.face} at ${clock(one.time, 1)}` },
      make("img", { src: one.image, alt: `face ${one.face} at ${clock(one.time, 1)}`, draggable: false }));
    button.dataset.face = one.face;
    button.addEventListener("click", () => actions.choose(one.face, one.time));
    button.addEventListener("dragstart", (event) => { event.dataTransfer.setData(KIND, String(one.face)); event.dataTransfer.effectAllowed = "move"; });
    box.append(button);
  }
  if (person === null || data.refusal) return box;
  box.addEventListener("dragover", (event) => { if (event.dataTransfer.types.includes(KIND)) { event.preventDefault(); box.classList.add("over"); } });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    const face = Number(event.dataTransfer.getData(KIND));
    if (!images.some((one) => one.face === face)) actions.move(face, person);
  });
  return box;
}

export async function loadSheet(root, address, data, actions) {
  const told = await ask(address), boxes = [];
  const persons = new Map();
  for (const lane of data.lanes) {
    const key = lane.person === null ? `face ${lane.faces[0]}` : lane.person;
    const known = persons.get(key) ?? { title: lane.name, person: lane.person, faces: [] };
    known.faces.push(...lane.faces);
    persons.set(key, known);
  }
  for (const { title, person, faces } of persons.values()) {
    boxes.push(group(title, person === null ? null : String(person), told.images.filter((one) => faces.includes(one.face)), data, actions));
  }
  if (!data.refusal) boxes.push(group("a person of its own: drop a face here", "new", [], data, actions));
  root.replaceChildren(...boxes);
  if (told.more) root.append(make("p", { class: "soft" }, `${told.more} faces are not shown.`));
}
