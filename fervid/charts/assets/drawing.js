// What a timeline draws: its axis, and the lines, episodes, doubts and quality of a lane. A sheet is where it is drawn:
// { paper: context of a canvas, width, left: where the lines begin, x(time), ink: colours, places: heights, view: Timeline }
import { clock, countUpTo, textOn, visibleOn } from "./basics.js";

export const DASHES = [[], [7, 3], [2, 3], [], [9, 3, 2, 3], [4, 2], [1, 3]];
export const AXIS = 26, EPISODE = 15, QUALITY = 12, SPLIT = 38, ROW = 30;  // pixels
const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

export const inside = (value, low, high) => Math.min(Math.max(value, low), high);
export const isNumber = (value) => value !== null && value !== undefined && !Number.isNaN(value);
export const untilOf = (track) => track.until ?? track.times[track.times.length - 1];

// the time axis with the moments that are in doubt
export function drawAxis(sheet) {
  const { paper, width, left, x, ink, view } = sheet, span = view.to - view.from;
  const step = STEPS.find((one) => one / span * (width - left) >= 70) ?? 86400 * Math.ceil(span / 86400 / 8), digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  paper.fillStyle = ink.soft;
  paper.font = "12px system-ui, sans-serif";
  for (let tick = Math.ceil(view.from / step - 1e-9); tick * step <= view.to; tick++) {
    const place = x(tick * step), text = clock(tick * step, digits), wide = paper.measureText(text).width;
    paper.fillRect(place, AXIS - 6, 1, 6);
    paper.fillText(text, inside(place - wide / 2, left, width - wide), 14);
  }
  paper.fillStyle = ink.warn;
  for (const one of view.data.lanes.flatMap((lane) => lane.doubts ?? [])) {
    const place = x(one.start);
    if (place < left || place > width) continue;
    paper.beginPath();
    paper.moveTo(place - 4, AXIS - 9); paper.lineTo(place + 4, AXIS - 9); paper.lineTo(place, AXIS - 1);
    paper.fill();
  }
}

// everything of one lane
export function drawLane(lane, sheet) {
  const { paper, width, left, x, ink, places, view } = sheet;
  paper.save();
  paper.beginPath();
  paper.rect(left, 0, width - left, places.height);
  paper.clip();
  paper.fillStyle = ink.panel;
  paper.fillRect(left, 0, width, places.height);
  const solid = lane.tracks.filter((track) => !track.faint);
  if (solid.length || lane.until !== undefined) {  // hatched between the first and the last time that it is seen, and plain beyond
    const first = lane.from ?? Math.min(...solid.map((track) => track.times[0])), last = lane.until ?? Math.max(...solid.map(untilOf));
    const begin = Math.max(x(first), left), end = Math.min(x(last), width);
    if (end > begin) hatch(sheet, begin, end);
  }
  for (const track of solid) drawGround(track, sheet);
  drawGrid(sheet);
  for (const track of lane.tracks) drawTrack(track, sheet);
  if (places.rows !== undefined) drawRows(lane, sheet);
  for (const one of lane.episodes ?? []) drawEpisode(one, sheet, view.series, view.hidden);
  for (const one of lane.doubts ?? []) drawDoubt(one, sheet);
  paper.fillStyle = ink.front;
  for (const cut of view.data.cuts ?? []) {
    const place = x(cut);
    if (place < left || place > width) continue;
    for (let y = 0; y < places.height; y += 6) paper.fillRect(place, y, 1, 3);
  }
  paper.restore();
  drawLabels(sheet);
}

// the runs of samples without a gap that are in view, as [first, end, right edge in seconds]
function* runs(track, view, every = 1) {
  const { times } = track, begin = Math.max(countUpTo(times, view.from) - 2 * every, 0), end = Math.min(countUpTo(times, view.to) + 2 * every, times.length);
  if (untilOf(track) < view.from || times[0] > view.to) return;
  for (let first = begin, place = begin; place < end; place++) {
    if (place + 1 < end && !track.gaps?.has(place)) continue;
    yield [first, place + 1, place + 1 < times.length ? times[place] : untilOf(track)];
    first = place + 1;
  }
}

function drawGround(track, { paper, x, ink, places, view }) {
  paper.fillStyle = ink.back;
  for (const [first, , right] of runs(track, view)) paper.fillRect(x(track.times[first]), 0, Math.max(x(right) - x(track.times[first]), 2), places.height);
}

// the height of a value of a series
function level(value, series, { places: { lines: [top, bottom] }, view }) {
  const [low, high] = view.range, share = (value - low) / (high - low);
  if (!view.split) return bottom - share * (bottom - top);
  return top + (series + 1) * SPLIT - share * SPLIT * 0.9;
}

function gridValues({ range: [low, high] }) {
  return low === 0 ? [0, high / 2, high] : [low, ...(low < 0 && high > 0 ? [0] : []), high];
}

function drawGrid(sheet) {
  const { paper, left, width, ink, view } = sheet;
  if (!view.gutter && !view.split) return;
  paper.fillStyle = ink.line;
  if (view.split) view.series.forEach((_, place) => paper.fillRect(left, level(view.range[0], place, sheet), width, 1));
  else for (const value of gridValues(view)) paper.fillRect(left, Math.round(level(value, 0, sheet)), width, 1);
}

function drawLabels(sheet) {
  const { paper, left, ink, places, view } = sheet;
  if (!view.gutter && !view.split) return;
  paper.font = "11px system-ui, sans-serif";
  paper.textBaseline = "middle";
  paper.fillStyle = ink.soft;
  if (view.split) {
    view.series.forEach(({ name }, place) => {
      const y = places.lines[0] + place * SPLIT + 9, wide = paper.measureText(name).width;
      paper.fillStyle = ink.back;
      paper.globalAlpha = 0.75;
      paper.fillRect(left + 2, y - 8, wide + 6, 16);
      paper.globalAlpha = 1;
      paper.fillStyle = ink.front;
      paper.fillText(name, left + 5, y);
    });
  } else {
    paper.textAlign = "right";
    for (const value of gridValues(view)) paper.fillText(view.number(value).replace(/\.?0+$/, "") || "0", left - 5, inside(level(value, 0, sheet), 7, Infinity));
    paper.textAlign = "left";
  }
  paper.textBaseline = "alphabetic";
}

function drawTrack(track, sheet) {
  const { times } = track, { view } = sheet, step = (times[times.length - 1] - times[0]) / Math.max(times.length - 1, 1);
  const perPixel = step ? (view.to - view.from) / (sheet.width - sheet.left) / step : 0;
  // where samples are dense, each point is the mean of a power of two of them: fewer than one point for a pixel
  const every = perPixel > 2 ? 2 ** Math.ceil(Math.log2(2 * perPixel)) : 1;
  for (const [first, end, right] of runs(track, view, every)) {
    view.series.forEach((series, place) => {
      if (view.hidden.has(series.name)) return;
      if (track.low && track.high) drawBand(track, place, [first, end, every], sheet);
      if (track.raw && view.raw && every === 1) drawLine(track, track.raw[place], place, [first, end, every], sheet, [0.5, 1]);
      drawLine(track, track.smooth[place], place, [first, end, every], sheet, track.faint ? [0.3, 1] : [1, 1.8]);
    });
    if (track.quality) drawQuality(track, first, end, right, sheet, view.data.minQuality ?? 0);
  }
}

// points [x, y] of the means of the values; runs of samples begin at the same places wherever the view is
function pointsOf(track, values, series, [first, end, every], sheet) {
  const points = [], { x } = sheet;
  for (let begin = first; begin < end;) {
    const stop = Math.min(end, (Math.floor(begin / every) + 1) * every);
    let sum = 0, time = 0, count = 0;
    for (let place = begin; place < stop; place++) if (isNumber(values[place])) { sum += values[place]; time += track.times[place]; count++; }
    points.push(count ? [x(time / count), level(sum / count, series, sheet)] : null);
    begin = stop;
  }
  return points;
}

function drawLine(track, values, series, run, sheet, [alpha, thick]) {
  const { paper, ink, view } = sheet, points = pointsOf(track, values, series, run, sheet);
  paper.globalAlpha = alpha;
  paper.lineWidth = thick;
  paper.strokeStyle = visibleOn(view.series[series].color, ink.back);
  paper.lineJoin = "round";
  paper.setLineDash(thick > 1 && points.length > 1 ? DASHES[series % DASHES.length] : []);
  paper.beginPath();
  points.forEach((point, place) => {
    if (!point) return;
    if (!points[place - 1]) paper.moveTo(...point); else paper.lineTo(...point);
    if (!points[place - 1] && !points[place + 1]) { paper.moveTo(point[0] - 1.5, point[1]); paper.lineTo(point[0] + 1.5, point[1]); }  // a sample alone
  });
  paper.stroke();
  paper.setLineDash([]);
  paper.globalAlpha = 1;
}

function drawBand(track, series, run, sheet) {
  const low = pointsOf(track, track.low[series], series, run, sheet), high = pointsOf(track, track.high[series], series, run, sheet);
  const edge = [...high, ...low.reverse()].filter((point) => point);
  if (edge.length < 3) return;
  sheet.paper.globalAlpha = 0.18;
  sheet.paper.fillStyle = sheet.view.series[series].color;
  sheet.paper.beginPath();
  edge.forEach((point, place) => (place ? sheet.paper.lineTo(...point) : sheet.paper.moveTo(...point)));
  sheet.paper.fill();
  sheet.paper.globalAlpha = 1;
}

function hatch({ paper, ink, places }, left, right) {
  paper.save();
  paper.beginPath();
  paper.rect(left, 0, right - left, places.height);
  paper.clip();
  paper.strokeStyle = ink.line;
  paper.lineWidth = 1;
  paper.beginPath();
  for (let x = left - places.height; x < right; x += 9) { paper.moveTo(x, places.height); paper.lineTo(x + places.height, 0); }
  paper.stroke();
  paper.restore();
}

// the measures below the lines, and the events in them
function drawRows(lane, sheet) {
  const { paper, width, left, x, ink, places, view } = sheet, { rows } = view.data, top = (place) => places.rows + place * ROW;
  paper.fillStyle = ink.warn;
  paper.globalAlpha = 0.3;
  for (const { row, start, end } of lane.spans ?? []) if (x(end) >= left && x(start) <= width) paper.fillRect(x(start), top(row) + 2, Math.max(x(end) - x(start), 2), ROW - 4);
  paper.globalAlpha = 1;
  rows.forEach(({ name, range: [low, high] }, place) => {
    paper.fillStyle = ink.line;
    paper.fillRect(left, Math.round(top(place) + ROW - 2 - (low < 0 ? 0.5 : 0) * (ROW - 4)), width, 1);  // 0, in the middle if values have signs
    paper.strokeStyle = ink.front;
    paper.lineWidth = 1.2;
    for (const track of lane.tracks.filter((one) => one.rows)) {
      for (const [first, end] of runs(track, view)) {
        paper.beginPath();
        let before = false;
        for (let sample = first; sample < end; sample++) {
          const share = track.rows[place][sample], seen = isNumber(share);
          const [across, down] = [x(track.times[sample]), top(place) + ROW - 2 - (seen ? share : 0) * (ROW - 4)];
          if (seen && before) paper.lineTo(across, down);
          else if (seen) paper.moveTo(across, down);
          before = seen;
        }
        paper.stroke();
      }
    }
    paper.font = "11px system-ui, sans-serif";
    const text = high > 1 ? `${name} ±${high}°` : name, wide = paper.measureText(text).width;
    paper.fillStyle = ink.back;
    paper.globalAlpha = 0.75;
    paper.fillRect(left + 2, top(place) + 1, wide + 6, 14);
    paper.globalAlpha = 1;
    paper.fillStyle = ink.soft;
    paper.fillText(text, left + 5, top(place) + 12);
  });
}

function drawQuality(track, start, end, until, { paper, x, ink, width, places }, least) {
  const [top, bottom] = places.quality;
  let before = -Infinity, lowest = 1;
  for (let place = start; place < end; place++) {
    const left = Math.floor(x(track.times[place])), value = inside(track.quality[place] ?? 0, 0, 1);
    lowest = Math.min(lowest, value);
    if (left === before || left > width) continue;
    const right = place + 1 < end ? x(track.times[place + 1]) : Math.max(x(until), left + 2), high = Math.max(lowest * (bottom - top), 1);
    paper.fillStyle = lowest < least ? ink.warn : ink.soft;
    paper.fillRect(left, bottom - high, Math.max(right - left, 1), high);
    if (lowest < least) paper.fillRect(left, top, Math.max(right - left, 1), 2);
    before = left;
    lowest = 1;
  }
}

function drawEpisode(one, { paper, x, left, width, places }, series, hidden) {
  const from = x(one.start), to = x(one.end), [top, bottom] = places.episodes, { name, color } = series[one.series];
  if (to < left || from > width) return;
  const shown = Math.max(from, left), wide = Math.max(Math.min(to, width) - shown - 1, 2);
  paper.globalAlpha = hidden.has(name) ? 0.25 : 1;
  paper.fillStyle = color;
  paper.fillRect(shown, top, wide, bottom - top);
  paper.font = "600 11px system-ui, sans-serif";
  if (paper.measureText(name).width + 8 < wide) {
    paper.fillStyle = textOn(color);
    paper.textBaseline = "middle";
    paper.fillText(name, shown + 4, (top + bottom) / 2 + 0.5);
    paper.textBaseline = "alphabetic";
  }
  paper.globalAlpha = 1;
}

function drawDoubt(one, { paper, x, left, width, ink }) {
  const from = Math.max(x(one.start), left), to = Math.min(x(one.end), width);
  if (to < left || from > width) return;
  paper.fillStyle = ink.warn;
  paper.fillRect(from, 0, Math.max(to - from, 3), 3);
  paper.beginPath();
  paper.moveTo(from, 3); paper.lineTo(from + 9, 3); paper.lineTo(from, 12);
  paper.fill();
}
