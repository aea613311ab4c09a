/** What /proc says of a process. */
import { readFileSync } from 'node:fs';

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Clock ticks of 10 ms that a process has run; undefined when it is gone. */
function ticksOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return undefined;
  }
}

/** Waits until a process has done all it had to do after its start: it ran for less than a tenth of the last 300 ms. */
export async function calm(pid: number): Promise<void> {
  let before = -1_000;
  for (;;) {
    const now = ticksOf(pid);
    if (now === undefined || now - before <= 3) return;
    before = now;
    await sleep(300);
  }
}
