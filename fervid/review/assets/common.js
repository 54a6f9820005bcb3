// Shared by the pages. Texts of the results go into text nodes only, never into HTML.

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

export const find = (id) => document.getElementById(id);

export function clock(seconds, digits = 1) {
  const unit = 10 ** digits, total = Math.round(Math.max(0, seconds) * unit), rest = total / unit;
  const hours = Math.floor(rest / 3600), minutes = Math.floor(rest / 60) % 60;
  const last = (rest % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${last}` : `${minutes}:${last}`;
}

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Refused(0, "fervid review does not answer; start it again and open the address that it prints");
  }
  const text = await answer.text();
  let values;
  try { values = JSON.parse(text); } catch { values = { error: text || `error ${answer.status}` }; }
  if (!answer.ok) throw new Refused(answer.status, values.error);
  return values;
}
