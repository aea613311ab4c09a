/** Keyboard and touch, as one direction and three actions. */
import { direction } from '../game.ts';

export type Action = 'hit' | 'give' | 'drop';

export interface InputEvents {
  /** The direction to walk in has changed; length 0..1. */
  walk(dx: number, dy: number): void;
  act(action: Action): void;
}

const DIRECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  KeyW: [0, -1],
  ArrowUp: [0, -1],
  KeyS: [0, 1],
  ArrowDown: [0, 1],
  KeyA: [-1, 0],
  ArrowLeft: [-1, 0],
  KeyD: [1, 0],
  ArrowRight: [1, 0],
};
const ACTIONS: Readonly<Record<string, Action>> = { Space: 'hit', KeyG: 'give', KeyQ: 'drop' };

/** A finger's small movements are no new direction. */
const STEPS = 8;
const DEAD_ZONE = 0.18;

export function listen(events: InputEvents): void {
  let keys = { dx: 0, dy: 0 };
  let stick = { dx: 0, dy: 0 };
  let told = '0,0';
  const tell = (): void => {
    const { dx, dy } = direction(keys.dx + stick.dx, keys.dy + stick.dy);
    if (`${dx},${dy}` === told) return;
    told = `${dx},${dy}`;
    events.walk(dx, dy);
  };
  listenToKeys(
    now => {
      keys = now;
      tell();
    },
    action => events.act(action),
  );
  listenToStick(document.querySelector('#stick')!, now => {
    stick = now;
    tell();
  });
  for (const action of ['hit', 'give', 'drop'] as const) {
    document.querySelector(`#${action}`)!.addEventListener('pointerdown', () => events.act(action));
    // A press of Enter or Space on the focused button comes as a click without a pointer.
    document.querySelector<HTMLElement>(`#${action}`)!.addEventListener('click', event => {
      if (event.detail === 0) events.act(action);
    });
  }
}

function listenToKeys(walk: (to: { dx: number; dy: number }) => void, act: (action: Action) => void): void {
  const down = new Set<string>();
  const tell = (): void => {
    let dx = 0;
    let dy = 0;
    for (const code of down) {
      dx += DIRECTIONS[code][0];
      dy += DIRECTIONS[code][1];
    }
    walk({ dx: Math.sign(dx), dy: Math.sign(dy) });
  };
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || isForm(event)) return;
    if (event.code in DIRECTIONS) {
      down.add(event.code);
      tell();
    } else if (event.code in ACTIONS) {
      if (!event.repeat) act(ACTIONS[event.code]);
    } else return;
    event.preventDefault(); // arrows and space would scroll
  });
  addEventListener('keyup', event => {
    if (down.delete(event.code)) tell();
  });
  // Whoever leaves the page with a key down does not walk on for ever.
  addEventListener('blur', () => {
    down.clear();
    tell();
  });
}

/** Typing a name does not walk; a focused button keeps Space and Enter. */
function isForm(event: KeyboardEvent): boolean {
  const target = event.target;
  if (target instanceof HTMLInputElement) return true;
  return target instanceof HTMLButtonElement && (event.code === 'Space' || event.code === 'Enter');
}

function listenToStick(stick: HTMLElement, walk: (to: { dx: number; dy: number }) => void): void {
  const knob = stick.querySelector('i')!;
  let finger: number | undefined;
  const move = (event: PointerEvent): void => {
    const box = stick.getBoundingClientRect();
    const reach = box.width / 2 - 18;
    const raw = direction(
      (event.clientX - box.left - box.width / 2) / reach,
      (event.clientY - box.top - box.height / 2) / reach,
    );
    knob.style.transform = `translate(${raw.dx * reach}px, ${raw.dy * reach}px)`;
    const length = Math.hypot(raw.dx, raw.dy);
    if (length < DEAD_ZONE) walk({ dx: 0, dy: 0 });
    else walk({ dx: Math.round(raw.dx * STEPS) / STEPS, dy: Math.round(raw.dy * STEPS) / STEPS });
  };
  const release = (event: PointerEvent): void => {
    if (event.pointerId !== finger) return;
    finger = undefined;
    knob.style.transform = '';
    walk({ dx: 0, dy: 0 });
  };
  stick.addEventListener('pointerdown', event => {
    if (finger !== undefined) return;
    finger = event.pointerId;
    stick.setPointerCapture(finger);
    move(event);
  });
  stick.addEventListener('pointermove', event => {
    if (event.pointerId === finger) move(event);
  });
  stick.addEventListener('pointerup', release);
  stick.addEventListener('pointercancel', release);
}
