// A face between its samples, as fervid.timeline.interpolation defines it.

export const TOLERANCE = 1e-6;

// the number of values that are not larger than a value
export function countUpTo(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

export class Face {
  constructor(told, emotions) {
    Object.assign(this, told);
    this.count = emotions;
    this.gapAfter = new Set(told.gaps);
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
    if (after > before && this.gapAfter.has(before) && part > 0) {
      if (Math.abs(time - this.times[before]) > TOLERANCE) return null;
      part = 0;
    }
    const mix = (values, columns) => Array.from({ length: columns }, (_, column) => {
      const one = values[before * columns + column], other = values[after * columns + column];
      return one === null || other === null ? null : (1 - part) * one + part * other;
    });
    const sample = this.smooth.slice(before * this.count, (before + 1) * this.count);
    return { box: mix(this.boxes, 4), smooth: mix(this.smooth, this.count), raw: mix(this.raw, this.count),
      quality: this.quality[before], leading: sample.indexOf(Math.max(...sample)), sample: before };
  }

  // the time of the sample at which a split must lie so that the picture at a time belongs to the later part
  splitTime(time) {
    const number = countUpTo(this.times, time + TOLERANCE);
    const place = number > 0 && Math.abs(this.times[number - 1] - time) <= TOLERANCE ? number - 1 : number;
    return place > 0 && place < this.times.length ? this.times[place] : null;
  }
}
