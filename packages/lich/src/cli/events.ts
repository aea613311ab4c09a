/** How commands print what a supervisor saw. */
import { styleText } from 'node:util';
import type { SupervisorEvent } from '../runtime/index.ts';
import { count, size } from './text.ts';

type Style = Parameters<typeof styleText>[0];

/** Only for terminals that want it: a pipe gets plain text. */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return stream.isTTY && process.env.NO_COLOR === undefined ? styleText(style, text) : text;
}

/** @returns a line, or undefined for what is not worth one */
export function eventLine(event: SupervisorEvent): string | undefined {
  const line = (style: Style, word: string, rest: string): string =>
    `${event.node.padEnd(12)} ${styled(style, word.padEnd(11))} ${rest}`.trimEnd();
  switch (event.type) {
    case 'started':
      return undefined;
    case 'adopted':
      return line('cyan', 'adopted', `pid ${event.pid}`);
    case 'ready':
      return line('green', 'ready', `pid ${event.pid}`);
    case 'takeover':
      return line('yellow', 'taken over', `pid ${event.pid}`);
    case 'exited': {
      const how = event.signal ?? (event.code === undefined ? 'nobody says how' : `code ${event.code}`);
      return line(event.code === 0 ? 'dim' : 'red', 'ended', `pid ${event.pid}, ${how}`);
    }
    case 'hung':
      return line('red', 'hangs', `pid ${event.pid}, ${event.polls} looks without a sign of life: it is killed`);
    case 'memory':
      return line(
        'red',
        'too large',
        `pid ${event.pid}, ${size(event.bytes)} of ${size(event.limitBytes)} (memoryMiB)`,
      );
    case 'backOff':
      return line('yellow', 'waits', `${event.crashes} crashes in a row; starts again in ${event.delayMs} ms`);
    case 'down':
      return line(
        'red',
        'is down',
        `${event.why}. Its state is kept: lich inspect, lich dump; lich start ${event.node}`,
      );
    case 'restored':
      return line('yellow', 'restored', `from ${event.dump}; what it had is kept in ${event.evidence}`);
    case 'stopped':
      return line('dim', 'stopped', event.why);
    case 'waits':
      return line(
        'yellow',
        'is gone',
        `the topology does not have it, and ${count(event.messages, 'message')} from ${event.from} ${event.messages === 1 ? 'waits' : 'wait'} for it: lich bus`,
      );
    case 'gaveUp':
      return `${event.node.padEnd(12)} cannot start; see ${event.logFile}`;
  }
}
