// The picture to start from and the mask painted on it: by pointer, or by keys.

const PAINT = "#ff2d55";

export class Editor {
  constructor(root) {
    const find = (id) => root.querySelector(`#${id}`);
    [this.picture, this.mask, this.brush] = [find("picture"), find("mask"), find("brush")];
    [this.size, this.erase] = [find("size"), find("erase")];
    this.root = root;
    this.file = null;
    this.painted = false;
    this.at = { x: 0, y: 0 };
    this.mask.addEventListener("pointerdown", (event) => this.down(event));
    this.mask.addEventListener("pointermove", (event) => this.move(event));
    this.mask.addEventListener("keydown", (event) => this.key(event));
    this.size.addEventListener("input", () => this.place());
  }

  /** Takes a picture, or none. */
  async load(blob) {
    this.file = blob;
    this.root.hidden = !blob;
    if (!blob) return this.clear();
    const image = await createImageBitmap(blob);
    for (const canvas of [this.picture, this.mask]) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    this.picture.getContext("2d").drawImage(image, 0, 0);
    this.at = { x: image.width / 2, y: image.height / 2 };
    this.clear();
    this.place();
  }

  clear() {
    this.mask.getContext("2d").clearRect(0, 0, this.mask.width, this.mask.height);
    this.painted = false;
  }

  /** Pixels of the picture in one of the screen. */
  scale() {
    return this.mask.width / Math.max(1, this.mask.getBoundingClientRect().width);
  }

  point(event) {
    const box = this.mask.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.scale(), y: (event.clientY - box.top) * this.scale() };
  }

  down(event) {
    this.mask.setPointerCapture(event.pointerId);
    this.at = this.point(event);
    this.stroke(this.at, this.at, this.erase.checked);
    event.preventDefault();
  }

  move(event) {
    if (!event.buttons) return;
    const to = this.point(event);
    this.stroke(this.at, to, this.erase.checked);
    this.at = to;
  }

  stroke(from, to, erase) {
    const context = this.mask.getContext("2d");
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = PAINT;
    context.lineWidth = this.size.value * this.scale();
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    if (!erase) this.painted = true;
    this.place();
  }

  key(event) {
    const step = (this.size.value * this.scale()) / 2;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const move = moves[event.key];
    if (move) {
      const clamp = (value, most) => Math.min(Math.max(value, 0), most);
      this.at = { x: clamp(this.at.x + move[0], this.mask.width), y: clamp(this.at.y + move[1], this.mask.height) };
      this.place();
    } else if (event.key === " ") {
      this.stroke(this.at, this.at, event.shiftKey || this.erase.checked);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** The ring that shows where the keys paint. */
  place() {
    const size = Number(this.size.value);
    Object.assign(this.brush.style, {
      width: `${size}px`,
      height: `${size}px`,
      left: `${this.at.x / this.scale() - size / 2}px`,
      top: `${this.at.y / this.scale() - size / 2}px`,
    });
  }

  /** The mask as a picture: white where something is painted; nothing if nothing is. */
  async painting() {
    const { width, height } = this.mask;
    const pixels = this.mask.getContext("2d").getImageData(0, 0, width, height);
    let any = false;
    for (let i = 0; i < pixels.data.length; i += 4) {
      const on = pixels.data[i + 3] > 127 ? 255 : 0;
      any ||= on > 0;
      pixels.data.set([on, on, on, 255], i);
    }
    if (!any) return null;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }
}
