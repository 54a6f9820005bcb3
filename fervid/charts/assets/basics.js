// Shared by all pages. Texts of results go into text nodes and attributes only, never into HTML.

export const TOLERANCE = 1e-6;  // seconds by which two times may differ and still be the same

// an element; values are attributes, or properties where they are not texts
export function make(name, values = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(values)) {
    if (key === "class") element.className = value;
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// 75.25 → "1:15.3"; a minus sign before times below 0
export function clock(seconds, digits = 1) {
  const unit = 10 ** digits, total = Math.round(Math.abs(seconds) * unit), rest = total / unit;
  const hours = Math.floor(rest / 3600), minutes = Math.floor(rest / 60) % 60;
  const last = (rest % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const text = hours ? `${hours}:${String(minutes).padStart(2, "0")}:${last}` : `${minutes}:${last}`;
  return seconds < 0 && total ? `−${text}` : text;
}

// the number of values that are not larger than a value; the values are sorted
export function countUpTo(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

const channels = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

// relative luminance of #rrggbb, and the contrast of two colours, as WCAG 2.1 defines them
function luminance(color) {
  const [red, green, blue] = channels(color).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

// black or white, whichever can be read better on a colour
export const textOn = (color) => (contrast(color, "#000000") >= contrast(color, "#ffffff") ? "#000000" : "#ffffff");

const mixes = new Map();

// the colour, moved towards black or white until lines of it are seen on a background (3:1, WCAG 1.4.11)
export function visibleOn(color, back) {
  const known = `${color} ${back}`;
  if (!mixes.has(known)) mixes.set(known, mixed(color, back));
  return mixes.get(known);
}

function mixed(color, back) {
  if (!/^#[0-9a-f]{6}$/i.test(color) || !/^#[0-9a-f]{6}$/i.test(back)) return color;
  const goal = channels(textOn(back));
  for (let part = 0; ; part += 0.05) {
    const values = channels(color).map((value, place) => Math.round(value + part * (goal[place] - value)));
    const text = `#${values.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
    if (part >= 1 || contrast(text, back) >= 3) return text;
  }
}
