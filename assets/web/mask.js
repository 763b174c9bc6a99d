// The picture to start from and the mask painted on it: by pointer, or by keys.

const PAINT = "#ff2d55";
/** Pixels beyond which a picture is scaled down before it is sent, unless a larger one is asked for. */
const MOST = 1024 * 1024;
/** The unit of the sides of pictures that are drawn. */
const UNIT = 8;

/** A picture of `width` and `height` scaled by `scale`, in whole units. */
function scaled({ width, height }, scale) {
  const side = (pixels) => Math.max(UNIT, Math.round((pixels * scale) / UNIT) * UNIT);
  return { width: side(width), height: side(height) };
}

/** The size in which a picture goes to the server that is to be drawn at `asked` (a side that is 0 is not said). */
function sent(picture, asked) {
  const pixels = picture.width * picture.height;
  if (pixels <= MOST) return picture;
  const needed = Math.max(asked.width / picture.width, asked.height / picture.height);
  const scale = needed || Math.sqrt(MOST / pixels);
  return scale < 1 ? scaled(picture, scale) : picture;
}

/** A canvas of a size with a picture all over it. */
function canvas({ width, height }, picture) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

export class Editor {
  constructor(root) {
    const find = (id) => root.querySelector(`#${id}`);
    [this.picture, this.mask, this.brush] = [find("picture"), find("mask"), find("brush")];
    [this.size, this.erase] = [find("size"), find("erase")];
    this.note = find("scaling");
    this.root = root;
    this.file = null;
    this.own = null;
    /** Called when picture or mask are others; set by the page. */
    this.changed = () => {};
    this.at = { x: 0, y: 0 };
    this.mask.addEventListener("pointerdown", (event) => this.down(event));
    this.mask.addEventListener("pointermove", (event) => this.move(event));
    this.mask.addEventListener("pointerup", () => this.changed());
    this.mask.addEventListener("keydown", (event) => this.key(event));
    this.size.addEventListener("input", () => this.place());
  }

  /** Takes a picture, or none; with a mask as [`painting`] gives it. What is no picture leaves none. */
  async load(blob, mask) {
    const image = blob && (await createImageBitmap(blob).catch(() => null));
    this.file = image ? blob : null;
    this.root.hidden = !image;
    if (image) {
      this.own = { width: image.width, height: image.height };
      const size = sent(this.own, { width: 0, height: 0 });
      for (const layer of [this.picture, this.mask]) Object.assign(layer, size);
      this.picture.getContext("2d").drawImage(canvas(size, image), 0, 0);
      this.at = { x: size.width / 2, y: size.height / 2 };
      image.close();
    }
    this.mask.getContext("2d").clearRect(0, 0, this.mask.width, this.mask.height);
    if (image && mask) await this.paint(mask);
    this.place();
    this.tell({ width: 0, height: 0 });
    this.changed();
    if (blob && !image) throw new Error("this file is no picture that the browser can read");
  }

  clear() {
    this.mask.getContext("2d").clearRect(0, 0, this.mask.width, this.mask.height);
    this.changed();
  }

  /** Paints what is white in a picture. */
  async paint(mask) {
    const { width, height } = this.mask;
    const pixels = canvas(this.mask, await createImageBitmap(mask)).getContext("2d").getImageData(0, 0, width, height);
    const [red, green, blue] = PAINT.match(/[0-9a-f]{2}/g).map((digits) => Number.parseInt(digits, 16));
    for (let i = 0; i < pixels.data.length; i += 4) {
      pixels.data.set([red, green, blue, pixels.data[i]], i);
    }
    this.mask.getContext("2d").putImageData(pixels, 0, 0);
  }

  /** Says whether the picture is scaled down for a drawing of `asked`. */
  tell(asked) {
    const size = this.file && sent(this.own, asked);
    this.note.hidden = !size || size === this.own;
    if (!this.note.hidden) {
      const words = ({ width, height }) => `${width}x${height}`;
      this.note.textContent = `The picture is ${words(this.own)}; it is sent as ${words(size)}.`;
    }
  }

  /** The picture as it is sent for a drawing of `asked`: the file itself, or a smaller picture. */
  async upload(asked) {
    const size = sent(this.own, asked);
    if (size === this.own) return this.file;
    return canvas(size, await createImageBitmap(this.file)).convertToBlob({ type: "image/png" });
  }

  /** The mask of what is sent; nothing if nothing is painted. */
  async uploadedMask(asked) {
    return this.painting(sent(this.own, asked));
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
      this.changed();
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
  async painting(size = this.mask) {
    const { width, height } = size;
    const pixels = canvas({ width, height }, this.mask).getContext("2d").getImageData(0, 0, width, height);
    let any = false;
    for (let i = 0; i < pixels.data.length; i += 4) {
      const on = pixels.data[i + 3] > 127 ? 255 : 0;
      any ||= on > 0;
      pixels.data.set([on, on, on, 255], i);
    }
    if (!any) return null;
    const target = new OffscreenCanvas(width, height);
    target.getContext("2d").putImageData(pixels, 0, 0);
    return target.convertToBlob({ type: "image/png" });
  }
}
