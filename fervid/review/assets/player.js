// The video, exact to the frame. The times of all frames are known: a frame is shown by seeking to the middle of the
// time for which it is shown, and the browser says which frame it presents.
import { countUpTo, TOLERANCE } from "./basics.js";

export class Player extends EventTarget {
  constructor(video) {
    super();
    this.video = video;
    this.times = [0];
    this.media = [0];
    this.index = 0;
    this.wanted = null;  // the frame to seek to when the seek before has ended
    this.target = null;  // the frame that was asked for and is not presented yet
    this.playable = false;
    for (const name of ["play", "pause", "ratechange", "volumechange", "ended"]) {
      video.addEventListener(name, () => this.dispatchEvent(new Event("state")));
    }
    video.addEventListener("seeked", () => {
      this.#next();
      // a frame that is presented before the callback of the frame before it has run is not reported (Chromium)
      setTimeout(() => this.#settle(), 100);
    });
    if ("requestVideoFrameCallback" in video) {
      const shown = (_, frame) => { this.#present(frame.mediaTime); video.requestVideoFrameCallback(shown); };
      video.requestVideoFrameCallback(shown);
    } else {
      const look = () => { if (this.playable && !video.seeking) this.#present(video.currentTime); requestAnimationFrame(look); };
      look();
    }
  }

  // frame times in seconds; media: the times of the same frames in the file, if they differ
  load(address, times, media) {
    const time = this.time;  // the same number is another frame in the new list
    this.times = times.length ? times : [0];
    this.media = media ?? this.times;
    this.playable = address !== null;
    this.index = this.frameAt(time);
    if (address !== null) this.video.src = address;
    this.dispatchEvent(new Event("state"));
  }

  get time() { return this.times[this.index]; }
  get paused() { return this.video.paused; }

  frameAt(time) { return Math.min(Math.max(countUpTo(this.times, time + TOLERANCE) - 1, 0), this.times.length - 1); }

  seek(time) { this.show(this.frameAt(time)); }
  step(count) { this.video.pause(); this.show((this.target ?? this.index) + count); }

  show(index) {
    const wanted = Math.min(Math.max(index, 0), this.times.length - 1);
    if (!this.playable) { this.index = wanted; this.#tell(); return; }
    this.wanted = this.target = wanted;
    if (!this.video.seeking) this.#next();
  }

  toggle() { if (!this.playable) return; this.target = null; if (this.video.paused) this.video.play().catch(() => {}); else this.video.pause(); }

  #next() {
    if (this.wanted === null) return;
    const index = this.wanted, last = this.media.length - 1;
    this.wanted = null;
    const step = index < last ? this.media[index + 1] - this.media[index]
      : last > 0 ? this.media[last] - this.media[last - 1] : 0.04;
    this.video.currentTime = this.media[index] + step / 2;
  }

  #present(mediaTime) {
    if (!this.playable) return;
    const after = Math.min(countUpTo(this.media, mediaTime), this.media.length - 1), before = Math.max(after - 1, 0);
    this.index = Math.abs(this.media[after] - mediaTime) < Math.abs(this.media[before] - mediaTime) ? after : before;
    if (this.index === this.target || !this.video.paused) this.target = null;
    this.#tell();
  }

  // a paused video that does not seek shows the frame of its current time
  #settle() {
    if (this.target === null || this.wanted !== null || this.video.seeking || !this.video.paused) return;
    this.#present(this.media[Math.max(countUpTo(this.media, this.video.currentTime) - 1, 0)]);
  }

  #tell() { this.dispatchEvent(new Event("frame")); }
}
