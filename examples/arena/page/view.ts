/** The arena from above, on a canvas. On a wide window all of it; on a narrow one what is around the player, with a small
 * map of the whole. Draws from what it is given and keeps nothing but effects that fade. */
import { MAP, type Place, REACH } from '../game.ts';

export interface Dot extends Place {
  readonly name: string;
  readonly hue: number;
  readonly hp: number;
  readonly gold: number;
  readonly items: readonly string[];
  readonly own: boolean;
}

export interface Scene {
  readonly dots: readonly Dot[];
  readonly items: readonly (Place & { readonly kind: string })[];
  readonly heaps: readonly (Place & { readonly gold: number })[];
}

interface Effect extends Place {
  readonly text: string;
  readonly color: string;
  readonly began: number;
}

const RADIUS = 15;
const EFFECT_MS = 900;
const PULSE_MS = 700;
const WIDTHS_MAX = 2_000;
/** Pixels around the arena that panels cover on a wide window. */
const PANELS = { top: 82, bottom: 44, side: 312 };
/** Smaller than this nothing can be read: then the camera follows the player. */
const SCALE_MIN = 0.5;
const SCALE_FOLLOWING = 0.62;
const KINDS: Readonly<Record<string, string>> = {
  sword: '#c8d3e0',
  shield: '#7fb2ff',
  ring: '#f2c063',
  crown: '#ffd84d',
};
const FONT = "system-ui, 'Segoe UI', Roboto, sans-serif";

export class View {
  readonly #canvas: HTMLCanvasElement;
  readonly #ink: CanvasRenderingContext2D;
  readonly #widths = new Map<string, number>();
  #effects: Effect[] = [];
  #pulse = Number.NEGATIVE_INFINITY;
  #camera: Place = { x: MAP.width / 2, y: MAP.height / 2 };

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#ink = canvas.getContext('2d', { alpha: false })!;
  }

  /** A word that rises from a place. */
  float(place: Place, text: string, color: string, now: number): void {
    this.#effects.push({ x: place.x, y: place.y, text, color, began: now });
  }

  /** The whole arena answers: a new life of the scene. */
  pulse(now: number): void {
    this.#pulse = now;
  }

  draw(scene: Scene, now: number): void {
    const { width, height, ratio } = this.#fit();
    const own = scene.dots.find(dot => dot.own);
    const room = { width: width - PANELS.side - 24, height: height - PANELS.top - PANELS.bottom };
    const fit = Math.min(room.width / MAP.width, room.height / MAP.height);
    const follows = fit < SCALE_MIN;
    const scale = follows ? SCALE_FOLLOWING : fit;
    const center = follows ? this.#follow(own, width / scale, height / scale) : { x: MAP.width / 2, y: MAP.height / 2 };
    const left = follows ? width / 2 : 12 + room.width / 2;
    const middle = follows ? height / 2 : PANELS.top + (MAP.height * scale) / 2;
    const ink = this.#ink;
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.fillStyle = '#0d1117';
    ink.fillRect(0, 0, width, height);
    ink.translate(left, middle);
    ink.scale(scale, scale);
    ink.translate(-center.x, -center.y);
    this.#floor(now);
    for (const heap of scene.heaps) this.#heap(heap);
    for (const item of scene.items) this.#item(item.x, item.y, item.kind, 1);
    if (own && own.hp > 0) this.#reach(own);
    for (const dot of scene.dots) if (!dot.own) this.#dot(dot);
    if (own) this.#dot(own);
    for (const dot of scene.dots) this.#label(dot, scale);
    this.#floats(now, scale);
    if (follows) {
      ink.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.#map(scene, { x: 8, y: 168 }, Math.min(200, width / 2 - 12));
    }
  }

  /** As many pixels as the screen has. */
  #fit(): { width: number; height: number; ratio: number } {
    const canvas = this.#canvas;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    return { width, height, ratio };
  }

  /** Keep the player in the middle; beyond the map's edge only so far that the panels never cover it. */
  #follow(own: Dot | undefined, width: number, height: number): Place {
    if (!own) return this.#camera;
    const keep = (value: number, half: number, size: number, margin: number): number =>
      size + 2 * margin < 2 * half ? size / 2 : Math.min(size + margin - half, Math.max(half - margin, value));
    this.#camera = {
      x: keep(own.x, width / 2, MAP.width, 30),
      y: keep(own.y, height / 2, MAP.height, 330),
    };
    return this.#camera;
  }

  #floor(now: number): void {
    const ink = this.#ink;
    ink.fillStyle = '#141a23';
    ink.beginPath();
    ink.roundRect(0, 0, MAP.width, MAP.height, 22);
    ink.fill();
    ink.save();
    ink.clip();
    ink.strokeStyle = 'rgb(255 255 255 / 3.2%)';
    ink.lineWidth = 1.5;
    ink.beginPath();
    for (let x = 100; x < MAP.width; x += 100) {
      ink.moveTo(x, 0);
      ink.lineTo(x, MAP.height);
    }
    for (let y = 100; y < MAP.height; y += 100) {
      ink.moveTo(0, y);
      ink.lineTo(MAP.width, y);
    }
    ink.stroke();
    ink.restore();
    const glow = Math.max(0, 1 - (now - this.#pulse) / PULSE_MS);
    ink.strokeStyle = glow > 0 ? `rgb(88 214 180 / ${14 + 76 * glow}%)` : 'rgb(255 255 255 / 11%)';
    ink.lineWidth = 2 + 5 * glow;
    ink.beginPath();
    ink.roundRect(0, 0, MAP.width, MAP.height, 22);
    ink.stroke();
  }

  #heap({ x, y, gold }: Place & { gold: number }): void {
    const ink = this.#ink;
    const size = 4 + Math.min(5, Math.sqrt(gold) / 3);
    ink.fillStyle = '#f2c063';
    for (const [dx, dy] of [
      [0, -0.9],
      [-0.95, 0.55],
      [0.95, 0.55],
    ]) {
      ink.beginPath();
      ink.arc(x + dx * size, y + dy * size, size * 0.8, 0, Math.PI * 2);
      ink.fill();
    }
  }

  #item(x: number, y: number, kind: string, size: number): void {
    const ink = this.#ink;
    ink.save();
    ink.translate(x, y);
    ink.scale(size, size);
    ink.strokeStyle = ink.fillStyle = KINDS[kind] ?? '#fff';
    ink.lineWidth = 3;
    ink.lineJoin = ink.lineCap = 'round';
    ink.beginPath();
    switch (kind) {
      case 'sword':
        ink.moveTo(-7, 7);
        ink.lineTo(8, -8);
        ink.moveTo(-7, 0);
        ink.lineTo(0, 7);
        ink.stroke();
        break;
      case 'shield':
        ink.moveTo(-7, -8);
        ink.lineTo(7, -8);
        ink.lineTo(7, 1);
        ink.quadraticCurveTo(6, 7, 0, 10);
        ink.quadraticCurveTo(-6, 7, -7, 1);
        ink.closePath();
        ink.fill();
        break;
      case 'ring':
        ink.arc(0, 2, 6.5, 0, Math.PI * 2);
        ink.stroke();
        ink.beginPath();
        ink.arc(0, -6.5, 2.6, 0, Math.PI * 2);
        ink.fill();
        break;
      default:
        ink.moveTo(-9, 7);
        ink.lineTo(-9, -5);
        ink.lineTo(-4, 0);
        ink.lineTo(0, -8);
        ink.lineTo(4, 0);
        ink.lineTo(9, -5);
        ink.lineTo(9, 7);
        ink.closePath();
        ink.fill();
    }
    ink.restore();
  }

  #reach({ x, y }: Place): void {
    const ink = this.#ink;
    ink.fillStyle = 'rgb(255 255 255 / 3%)';
    ink.beginPath();
    ink.arc(x, y, REACH, 0, Math.PI * 2);
    ink.fill();
  }

  #dot({ x, y, hue, hp, own, items }: Dot): void {
    const ink = this.#ink;
    const dead = hp <= 0;
    ink.globalAlpha = dead ? 0.3 : 1;
    ink.fillStyle = dead ? '#7a8594' : `hsl(${hue} 62% 62%)`;
    ink.beginPath();
    ink.arc(x, y, RADIUS, 0, Math.PI * 2);
    ink.fill();
    ink.lineWidth = 3;
    ink.strokeStyle = own ? '#fff' : '#0d1117';
    ink.stroke();
    if (!dead && hp < 100) {
      ink.strokeStyle = hp < 35 ? '#e5566a' : '#58d6b4';
      ink.lineWidth = 3;
      ink.beginPath();
      ink.arc(x, y, RADIUS + 5, -Math.PI / 2, -Math.PI / 2 + (Math.PI * 2 * hp) / 100);
      ink.stroke();
    }
    ink.globalAlpha = 1;
    items.forEach((kind, k) => this.#item(x + (k - (items.length - 1) / 2) * 17, y - RADIUS - 17, kind, 0.72));
  }

  /** Names stay readable at any scale, and above all dots. */
  #label({ x, y, name, gold, own, hp }: Dot, scale: number): void {
    const ink = this.#ink;
    const size = Math.max(12, 11.5 / scale);
    ink.globalAlpha = hp <= 0 ? 0.4 : own ? 1 : 0.85;
    ink.font = `${own ? 600 : 500} ${size}px ${FONT}`;
    ink.textAlign = 'center';
    ink.textBaseline = 'top';
    const top = y + RADIUS + 6;
    const coins = ` ${gold}`;
    const names = this.#widthOf(name);
    const all = names + this.#widthOf(coins);
    ink.textAlign = 'left';
    ink.fillStyle = 'rgb(13 17 23 / 75%)';
    ink.fillText(name + coins, x - all / 2 + 1, top + 1);
    ink.fillStyle = own ? '#fff' : '#c6cfda';
    ink.fillText(name, x - all / 2, top);
    ink.fillStyle = '#f2c063';
    ink.fillText(coins, x - all / 2 + names, top);
    ink.globalAlpha = 1;
  }

  /** Measuring a text costs more than drawing it. */
  #widthOf(text: string): number {
    const key = this.#ink.font + text;
    let width = this.#widths.get(key);
    if (width !== undefined) return width;
    if (this.#widths.size >= WIDTHS_MAX) this.#widths.clear();
    width = this.#ink.measureText(text).width;
    this.#widths.set(key, width);
    return width;
  }

  #floats(now: number, scale: number): void {
    const ink = this.#ink;
    this.#effects = this.#effects.filter(effect => now - effect.began < EFFECT_MS);
    ink.textAlign = 'center';
    ink.textBaseline = 'bottom';
    ink.font = `700 ${Math.max(14, 13 / scale)}px ${FONT}`;
    for (const { x, y, text, color, began } of this.#effects) {
      const age = (now - began) / EFFECT_MS;
      ink.globalAlpha = 1 - age * age;
      ink.fillStyle = color;
      ink.fillText(text, x, y - RADIUS - 8 - 34 * age);
    }
    ink.globalAlpha = 1;
  }

  /** Everybody, small. */
  #map({ dots }: Scene, { x, y }: Place, width: number): void {
    const ink = this.#ink;
    const scale = width / MAP.width;
    ink.fillStyle = 'rgb(22 27 36 / 80%)';
    ink.strokeStyle = 'rgb(255 255 255 / 12%)';
    ink.lineWidth = 1;
    ink.beginPath();
    ink.roundRect(x, y, width, MAP.height * scale, 8);
    ink.fill();
    ink.stroke();
    for (const dot of dots) {
      ink.fillStyle = dot.own ? '#fff' : `hsl(${dot.hue} 62% 62%)`;
      ink.beginPath();
      ink.arc(x + dot.x * scale, y + dot.y * scale, dot.own ? 3.2 : 2.2, 0, Math.PI * 2);
      ink.fill();
    }
  }
}
