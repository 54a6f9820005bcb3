// The charts of a study: mean courses around the onset, and when each participant was observed.
import { clock, make } from "./basics.js";
import { DASHES } from "./drawing.js";
import { Timeline } from "./timeline.js";

const data = JSON.parse(document.getElementById("data").textContent), timelines = [];
const byId = (id) => document.getElementById(id);

// the line of a condition, as the charts draw it
function sample({ color }, place) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  picture.setAttribute("viewBox", "0 0 26 10");
  picture.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries({ x1: 0, x2: 26, y1: 5, y2: 5, stroke: color, "stroke-width": 3, "stroke-dasharray": DASHES[place % DASHES.length].join(" ") })) line.setAttribute(name, value);
  picture.append(line);
  return picture;
}

// the lanes of one chart: a mean with its interval for each condition, and a thin line for each participant
function courseLanes({ measures }, group, withPeople) {
  const { times, people, groups } = data.course, { name: chosen } = groups[group];
  return measures.map((measure, place) => {
    const { mean, low, high } = measure.groups[group];
    const tracks = [{ id: `${place}`, times, smooth: mean, low, high }];
    if (withPeople) people.forEach((person, number) => {
      if (group === 0 || person.group === chosen) tracks.push({ id: `${place} ${number}`, times, smooth: measure.people[number], faint: true });
    });
    return { name: measure.name, tracks };
  });
}

// digits that tell the values of a range apart
const digitsOf = ([low, high]) => Math.min(Math.max(Math.ceil(2 - Math.log10(high - low)), 0), 4);

function drawCourse() {
  const { course, conditions } = data, group = byId("group"), people = byId("people"), charts = [];
  const dataOf = (chart) => ({ start: course.start, end: course.end, series: conditions, cuts: [0], range: chart.range,
    lanes: courseLanes(chart, Number(group.value || 0), people.checked) });
  course.groups.forEach((one, place) => group.append(make("option", { value: String(place) }, `${one.name} (${one.participants})`)));
  group.parentElement.hidden = course.groups.length < 2;
  people.parentElement.hidden = !course.people.length;
  for (const chart of course.charts) {
    const root = make("div", {});
    byId("course").append(make("div", { class: "card chart" }, chart.title ? make("h3", {}, chart.title) : null, root));
    const timeline = new Timeline(root, dataOf(chart), { height: 84, gutter: 46, keys: true, tip: true, digits: digitsOf(chart.range),
      describe: (lane) => `${lane.name} around the onset, conditions ${conditions.map((one) => one.name).join(", ")}` });
    timeline.addEventListener("seek", (event) => timeline.setCursor(event.detail.time));
    charts.push([timeline, chart]);
    timelines.push(timeline);
  }
  const again = () => charts.forEach(([timeline, chart]) => timeline.setData(dataOf(chart)));
  group.addEventListener("change", again);
  people.addEventListener("change", again);
  conditions.forEach((one, place) => {
    const button = make("button", { type: "button", class: "key", "aria-pressed": "true" }, sample(one, place), one.name);
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!shown));
      for (const timeline of timelines) { timeline.hidden[shown ? "add" : "delete"](one.name); timeline.draw(); }
    });
    byId("legend").append(button);
  });
}

// one recording: its observed steps in runs, each with a sample at its end
function mapLane(row, place) {
  const { steps } = data.map, step = row.end / steps, times = [], quality = [], gaps = new Set();
  row.shares.forEach((share, number) => {
    if (!share) return;
    times.push(number * step);
    quality.push(share / 100);
    if (number + 1 < steps && row.shares[number + 1]) return;
    times.push((number + 1) * step - step / 1000);
    quality.push(share / 100);
    gaps.add(times.length - 1);
  });
  return { name: row.participant, seen: row, from: 0, until: row.end, tracks: [{ id: place, times, smooth: data.map.series.map(() => []), gaps, quality }],
    episodes: row.events.map(([series, start, end]) => ({ series, start, end })) };
}

function say(row, time) {
  const share = row.shares[Math.floor(time / row.end * data.map.steps)];
  const events = row.events.filter(([, start, end]) => time >= start && time <= Math.max(end, start + row.end / 200));
  const parts = [[row.participant, row.video].filter(Boolean).join(", "), clock(time), share === undefined ? "after the end" : `observed for ${share} % of this step`,
    ...events.map(([series, start, end]) => `${data.map.series[series].name} from ${clock(start)} to ${clock(end)}`)];
  byId("says").textContent = parts.join(" · ");
}

function drawMap() {
  const { map } = data, root = make("div", {});
  byId("map").append(root);
  const head = ({ seen: row }) => make("span", { class: "lane-name" }, [row.participant, row.video].filter(Boolean).join(", "), make("small", {}, `${Math.round(row.observed * 100)} % observed`));
  const timeline = new Timeline(root, { start: 0, end: map.end, series: map.series, lanes: map.rows.map(mapLane) },
    { height: 0, keys: true, head, describe: ({ seen: row }) => `${row.participant} ${row.video}, observed for ${Math.round(row.observed * 100)} % of ${clock(row.end)}` });
  timeline.addEventListener("hover", ({ detail }) => { if (detail?.lane) say(detail.lane.seen, detail.time); });
  timeline.addEventListener("seek", ({ detail }) => { timeline.setCursor(detail.time); if (detail.lane) say(detail.lane.seen, detail.time); });
  timelines.push(timeline);
}

if (data.course) drawCourse();
if (data.map) drawMap();
addEventListener("beforeprint", () => timelines.forEach((timeline) => timeline.print()));
addEventListener("afterprint", () => timelines.forEach((timeline) => timeline.endPrint()));
document.body.dataset.ready = "yes";
