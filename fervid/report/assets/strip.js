// The strip in the heading of a video: one bar for each face, coloured by its episodes.
import { common } from "./values.js";

// The row of each face. Up to 10 faces have a row each. More faces share rows, so that the faces of a row are not seen
// at the same time, unless that needs more than 40 rows.
function stripRows(faces) {
  if (faces.length <= 10) return faces.map((_, place) => place);
  const ends = [], rows = new Map();
  for (const face of [...faces].sort((one, other) => one.first - other.first)) {
    let row = ends.findIndex((end) => end < face.first);
    if (row < 0) row = ends.length < 40 ? ends.length : ends.indexOf(Math.min(...ends));
    ends[row] = Math.max(face.last, ends[row] ?? 0);
    rows.set(face, row);
  }
  return faces.map((face) => rows.get(face));
}

// white: for paper
export function drawStrip(canvas, video, white) {
  const { faces } = video, rows = stripRows(faces), count = faces.length ? Math.max(...rows) + 1 : 0;
  const high = count > 10 ? 2 : count > 4 ? 3 : 6, space = count > 10 ? 1 : 2;
  const height = Math.max(8, count * (high + space) - space), width = canvas.clientWidth, dense = devicePixelRatio || 1;
  if (!width) return;
  const style = getComputedStyle(document.documentElement);
  const line = white ? "#cccccc" : style.getPropertyValue("--line").trim(), fill = white ? "#eeeeee" : style.getPropertyValue("--fill").trim();
  canvas.style.height = `${height}px`;
  canvas.width = width * dense;
  canvas.height = height * dense;
  const paper = canvas.getContext("2d"), length = Math.max(video.end - video.start, 1e-3);
  paper.scale(dense, dense);
  const bar = (from, to, y, color) => {
    paper.fillStyle = color;
    paper.fillRect((from - video.start) / length * width, y, Math.max(1, (to - from) / length * width), high);
  };
  if (!faces.length) bar(video.start, video.end, 1, fill);
  faces.forEach((face, place) => {
    const y = rows[place] * (high + space);
    for (const [from, to] of face.seen) bar(from, to, y, line);
    for (const [emotion, from, to] of face.episodes) bar(from, Math.min(to, video.end), y, common.series[emotion].color);
  });
}
