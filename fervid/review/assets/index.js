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

function listMoments(told) {
  const body = find("moments").tBodies[0];
  for (const one of told.moments) {
    body.append(make("tr", {},
      make("td", {}, link(one.number, one.video, `#t=${one.start}&face=${one.face}`)),
      make("td", { class: "number" }, clock(one.start)),
      make("td", {}, String(one.face)),
      make("td", {}, one.reason)));
  }
  find("moments").hidden = !told.moments.length;
  find("calm").hidden = told.moments.length > 0;
  find("more").hidden = !told.more;
  find("more").textContent = `${told.more} more are not listed.`;
}

try {
  const told = await ask("api/overview");
  document.title = `${told.title}: fervid review`;
  find("title").textContent = told.title;
  const doubts = told.moments.length + told.more;
  find("counts").textContent = `${told.videos.length} video${told.videos.length === 1 ? "" : "s"}, ` +
    `${doubts} doubtful moment${doubts === 1 ? "" : "s"}`;
  find("file").textContent = told.corrections;
  for (const note of told.refusal ? [...told.notes, `Faces cannot be corrected: ${told.refusal}`] : told.notes) {
    find("notes").append(make("p", { class: "warn" }, note));
  }
  listMoments(told);
  listVideos(told.videos);
} catch (error) {
  find("notes").append(make("p", { class: "warn" }, error.message));
}
document.body.dataset.ready = "yes";
