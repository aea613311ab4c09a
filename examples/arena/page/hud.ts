/** Everything around the canvas: figures, the player's own box, the kill button and the gaps. */
export interface Figures {
  readonly players: number;
  /** Kills of the scene that the game survived. */
  readonly survived: number;
  readonly messages: number;
}

export interface Own {
  readonly id: string;
  readonly x: number;
  readonly y: number;
  readonly hp: number;
  readonly gold: number;
  readonly items: number;
}

/** One frame at 60 Hz. */
export const FRAME_MS = 1000 / 60;
const CHIPS = 5;

const at = <E extends Element = HTMLElement>(selector: string): E => document.querySelector<E>(selector)!;
const set = (selector: string, text: string): void => {
  const element = at(selector);
  if (element.textContent !== text) element.textContent = text;
};
const number = new Intl.NumberFormat('en');
export const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

export function showFigures({ players, survived, messages }: Figures): void {
  set('#players', number.format(players));
  set('#survived', number.format(survived));
  set('#messages', number.format(messages));
}

export function showStatus(status: string): void {
  set('#link', status);
  at('#link').dataset.status = status;
}

export function showOwn(own: Own): void {
  const health = Math.max(0, own.hp);
  at('#health').setAttribute('aria-valuenow', String(health));
  at('#health i').style.transform = `scaleX(${health / 100})`;
  const purse = at('#purse');
  const { id, x, y } = own;
  // For the tests: what the canvas shows cannot be read.
  Object.assign(purse.dataset, { id, x: x.toFixed(2), y: y.toFixed(2), gold: own.gold, items: own.items, hp: own.hp });
  const text = `${number.format(own.gold)} gold · ${own.items} ${own.items === 1 ? 'item' : 'items'}`;
  set('#purse', own.hp <= 0 ? 'down, back in a moment' : text);
}

const gaps: number[] = [];

/** A new life of the scene is here, after `gapMs` of silence. */
export function showGap(gapMs: number): void {
  gaps.push(gapMs);
  set('#gap', ms(gapMs));
  drawPlot();
  const chip = document.createElement('li');
  chip.textContent = ms(gapMs);
  chip.classList.toggle('long', gapMs > FRAME_MS);
  const list = at('#gaps');
  list.prepend(chip);
  while (list.children.length > CHIPS) list.lastElementChild!.remove();
  list.dataset.count = String(gaps.length);
}

const BAR = 11.5;
/** Below the bars: their legend. Above: room for a long one. */
const LEGEND = 16;
const HEADROOM = 10;

/** A bar for each of the last kills; the dashed line is one frame. One unit is one pixel, so texts keep their size. */
export function drawPlot(): void {
  const plot = at<SVGSVGElement>('#plot');
  const { clientWidth: width, clientHeight: height } = plot;
  plot.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const floor = height - LEGEND;
  const shown = gaps.slice(-Math.floor(width / BAR));
  const top = Math.max(FRAME_MS * 1.25, ...shown);
  const sizeOf = (gap: number): number => ((floor - HEADROOM) * gap) / top;
  const parts: SVGElement[] = [svg('line', { class: 'base', x1: 0, x2: width, y1: floor + 0.5, y2: floor + 0.5 })];
  shown.forEach((gap, k) => {
    const size = Math.max(2, sizeOf(gap));
    const bar = svg('rect', { x: k * BAR + 1.5, y: floor - size, width: BAR - 3, height: size, rx: 2 });
    if (gap > FRAME_MS) bar.classList.add('long');
    bar.append(svg('title', {}, ms(gap)));
    parts.push(bar);
  });
  const line = Math.round(floor - sizeOf(FRAME_MS)) + 0.5;
  parts.push(svg('line', { class: 'frame', x1: 0, x2: width, y1: line, y2: line }));
  parts.push(
    svg('text', { x: width, y: line - 4, 'text-anchor': 'end' }, width < 220 ? 'one frame' : 'one frame, 16.7 ms'),
  );
  const longest = gaps.length === 0 ? '' : `longest ${ms(Math.max(...gaps))}`;
  parts.push(svg('text', { x: 0, y: height - 2 }, 'gap of each kill'));
  parts.push(svg('text', { x: width, y: height - 2, 'text-anchor': 'end' }, longest));
  plot.replaceChildren(...parts);
}

function svg(name: string, attributes: Readonly<Record<string, string | number>>, text?: string): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A line that stays for a few seconds. */
export function tell(sentence: string): void {
  const line = document.createElement('li');
  line.textContent = sentence;
  line.addEventListener('animationend', () => line.remove());
  const feed = at('#feed');
  feed.append(line);
  while (feed.children.length > 3) feed.firstElementChild!.remove();
}

/** Calls `kill` when the button is pressed, and says what it answers. */
export function onKill(kill: () => Promise<string>): void {
  const button = at<HTMLButtonElement>('#kill');
  button.addEventListener('click', () => {
    button.disabled = true;
    void kill()
      .catch((error: unknown) => `That did not work: ${error instanceof Error ? error.message : String(error)}`)
      .then(said => {
        set('#said', said);
        button.disabled = false;
      });
  });
}
