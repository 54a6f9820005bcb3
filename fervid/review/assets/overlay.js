// Boxes and names over the picture.

export class Overlay {
  constructor(canvas, video) {
    this.canvas = canvas;
    this.video = video;
    this.shown = [];
  }

  // states: { face, box, label, color, doubtful, chosen }; size: of the picture whose pixels the boxes are in
  draw(states, size) {
    const { canvas } = this, box = canvas.getBoundingClientRect(), dense = devicePixelRatio || 1;
    const width = Math.round(box.width * dense), height = Math.round(box.height * dense);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const paper = canvas.getContext("2d"), scale = width / size[0];
    paper.clearRect(0, 0, width, height);
    this.shown = states.filter((one) => one.box.every((value) => value !== null));
    const crowded = box.width < 500 && this.shown.length > 3;
    for (const one of this.shown) {
      const [x, y, across, down] = one.box.map((value) => value * scale);
      paper.lineWidth = (one.chosen ? 4 : 2) * dense;
      paper.setLineDash(one.doubtful ? [8 * dense, 5 * dense] : []);
      paper.strokeStyle = "#000";
      paper.strokeRect(x, y, across, down);
      paper.lineWidth = (one.chosen ? 2.5 : 1.5) * dense;
      paper.strokeStyle = one.color;
      paper.strokeRect(x, y, across, down);
      paper.setLineDash([]);
      if (!crowded || one.chosen || one.doubtful) this.#label(paper, one, x, y, down, dense, width, crowded && !one.chosen);
    }
  }

  #label(paper, one, x, y, down, dense, width, bare) {
    paper.font = `600 ${13 * dense}px system-ui, sans-serif`;
    const text = bare ? "⚠" : (one.doubtful ? "⚠ " : "") + (width < 500 * dense ? one.short : one.label), high = 19 * dense;
    const wide = paper.measureText(text).width + 10 * dense;
    const left = Math.max(0, Math.min(x, width - wide)), top = y >= high ? y - high : y + down;
    paper.fillStyle = "rgba(0, 0, 0, .78)";
    paper.fillRect(left, top, wide, high);
    paper.fillStyle = one.color;
    paper.fillRect(left, top, 3 * dense, high);
    paper.fillStyle = "#fff";
    paper.textBaseline = "middle";
    paper.fillText(text, left + 6 * dense, top + high / 2);
  }

  // the smallest face whose box holds a point of the window
  faceAt(x, y, size) {
    const place = this.canvas.getBoundingClientRect(), scale = size[0] / place.width;
    const [px, py] = [(x - place.left) * scale, (y - place.top) * scale];
    const hit = this.shown.filter(({ box: [left, top, across, down] }) =>
      px >= left && px <= left + across && py >= top && py <= top + down);
    return hit.sort((one, other) => one.box[2] * one.box[3] - other.box[2] * other.box[3])[0]?.face ?? null;
  }
}
