// A face between its samples (a track of the timeline), as fervid.timeline.interpolation defines it.

import { countUpTo, TOLERANCE } from "./basics.js";

// the columns of values that stand row by row
const columns = (values, count) => Array.from({ length: count }, (_, column) => values.filter((_, place) => place % count === column));

export class Face {
  constructor(told, emotions) {
    Object.assign(this, told);
    this.boxes = columns(told.boxes, 4);
    this.smooth = columns(told.smooth, emotions);
    this.raw = columns(told.raw, emotions);
    this.gaps = new Set(told.gaps);
  }

  get first() { return this.times[0]; }
  get last() { return this.times[this.times.length - 1]; }

  // box, probabilities and leading emotion at a time; null where the face is not seen
  at(time) {
    if (time < this.first - TOLERANCE || time > this.until + TOLERANCE) return null;
    const end = this.times.length - 1;
    const before = Math.min(Math.max(countUpTo(this.times, time + TOLERANCE) - 1, 0), end);
    const after = Math.min(before + 1, end), step = this.times[after] - this.times[before];
    let part = step > 0 ? Math.min(Math.max((time - this.times[before]) / step, 0), 1) : 0;
    if (after > before && this.gaps.has(before) && part > 0) {
      if (Math.abs(time - this.times[before]) > TOLERANCE) return null;
      part = 0;
    }
    const mix = (values) => values.map((column) => {
      const one = column[before], other = column[after];
      return one === null || other === null ? null : (1 - part) * one + part * other;
    });
    const sample = this.smooth.map((column) => column[before]);
    return { box: mix(this.boxes), smooth: mix(this.smooth), raw: mix(this.raw),
      quality: this.quality[before], leading: sample.indexOf(Math.max(...sample)), sample: before };
  }

  // the time of the sample at which a split must lie so that the picture at a time belongs to the later part
  splitTime(time) {
    const number = countUpTo(this.times, time + TOLERANCE);
    const place = number > 0 && Math.abs(this.times[number - 1] - time) <= TOLERANCE ? number - 1 : number;
    return place > 0 && place < this.times.length ? this.times[place] : null;
  }
}
