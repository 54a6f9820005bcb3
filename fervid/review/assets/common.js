// Shared by the pages of the review.
export { clock, make } from "./basics.js";

export const find = (id) => document.getElementById(id);

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
