// One video: the player, and its doubtful moments.
import { ask, clock, find, make } from "./common.js";

const number = Number(location.pathname.split("/").pop());
try {
  const told = await ask(`../api/video/${number}`);
  document.title = `${told.name}: fervid review`;
  find("title").textContent = told.name;
  for (const note of [told.problem, told.message].filter(Boolean)) {
    find("notes").append(make("p", { class: "warn" }, note));
  }
  const player = find("player");
  player.src = `../media/${number}`;
  for (const one of told.moments ?? []) {
    const button = make("button", { type: "button" }, `${clock(one.start)}: face ${one.face}, ${one.reason}`);
    button.addEventListener("click", () => { player.currentTime = one.start; });
    find("moments").append(make("li", {}, button));
  }
} catch (error) {
  find("notes").append(make("p", { class: "warn" }, error.message));
}
document.body.dataset.ready = "yes";
