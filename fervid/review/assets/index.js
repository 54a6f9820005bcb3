// The first page: the doubtful moments of all videos, and all videos.
import { ask, clock, find, make } from "./common.js";

const link = (number, text, where = "") => make("a", { href: `video/${number}${where}` }, text);

function listVideos(videos) {
  const body = find("videos").tBodies[0];
  videos.forEach((one, number) => {
    const shown = one.status === "ok" || one.status === "no_face";
    const trust = shown ? one.trust ?? "" : `${one.status}: ${one.message ?? ""}`;
    body.append(make("tr", {},
      make("td", {}, shown ? link(number, one.video) : one.video),
      make("td", { class: "number" }, String(one.faces)),
      make("td", { class: "number" }, String(one.moments)),
      make("td", { class: "wide" }, trust)));
  });
}

const MANY = 8;  // with more moments there is a field to filter them
let shown = null;

// the moments of the chosen list whose video, face or reason contains the text of the filter
function listMoments() {
  const text = find("filter").value.trim().toLowerCase();
  const wanted = shown.moments.filter((one) => `${one.video} face ${one.face ?? ""} ${one.reason}`.toLowerCase().includes(text));
  find("moments").tBodies[0].replaceChildren(...wanted.map((one) => make("tr", {},
    make("td", {}, link(one.number, one.video, `#t=${one.start}${one.face === null ? "" : `&face=${one.face}`}`)),
    make("td", { class: "number" }, clock(one.start)),
    make("td", {}, one.face === null ? "" : String(one.face)),
    make("td", {}, one.reason))));
  find("filter").parentElement.hidden = shown.moments.length <= MANY;
  find("moments").hidden = !wanted.length;
  find("calm").hidden = wanted.length > 0;
  find("calm").textContent = shown.moments.length ? "No moment contains this text." : "No figure is in doubt.";
  find("more").hidden = !shown.more;
  find("more").textContent = `${shown.more} more are not listed.`;
}

function chooseList(lists) {
  const choice = find("list");
  choice.append(...lists.map((one, place) => make("option", { value: String(place) }, `${one.title} (${one.moments.length + one.more})`)));
  choice.parentElement.hidden = lists.length < 2;
  choice.addEventListener("change", () => { shown = lists[Number(choice.value)]; listMoments(); });
  find("filter").addEventListener("input", listMoments);
  shown = lists[0];
  listMoments();
}

try {
  const told = await ask("api/overview");
  document.title = `${told.title}: fervid review`;
  find("title").textContent = told.title;
  const last = told.lists[told.lists.length - 1], doubts = last.moments.length + last.more;
  find("counts").textContent = `${told.videos.length} video${told.videos.length === 1 ? "" : "s"}, ` +
    `${doubts} doubtful moment${doubts === 1 ? "" : "s"}`;
  find("file").textContent = told.corrections;
  for (const note of told.refusal ? [...told.notes, `Faces cannot be corrected: ${told.refusal}`] : told.notes) {
    find("notes").append(make("p", { class: "warn" }, note));
  }
  chooseList(told.lists);
  listVideos(told.videos);
} catch (error) {
  find("notes").append(make("p", { class: "warn" }, error.message));
}
document.body.dataset.ready = "yes";
