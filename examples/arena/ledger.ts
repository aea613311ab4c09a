/** What one player sent and what was answered, held against the counters that the server keeps in the player's record.
 * Messages of a session are handled in order and exactly once, so a `tally` must answer just what was sent before it. */
import { COUNTED, type Counted } from './game.ts';

export type Counts = Readonly<Record<Counted, number>>;
const NAMES = Object.keys(COUNTED) as Counted[];

export class Ledger {
  readonly #sent: Record<Counted, number> = { moves: 0, hits: 0, drops: 0, gives: 0, banks: 0 };
  readonly #unsure: Record<Counted, number> = { moves: 0, hits: 0, drops: 0, gives: 0, banks: 0 };
  /** Messages that were sent and did not take effect. */
  lost = 0;
  /** Messages that took effect more than once. */
  doubled = 0;
  /** Answers that were held against what was sent. */
  checked = 0;
  /** One sentence for each difference. */
  readonly findings: string[] = [];

  /** A message goes out, and counts unless it is refused. */
  sent(name: Counted): void {
    this.#sent[name]++;
  }

  /** The server answered an error: the message was undone. */
  refused(name: Counted): void {
    this.#sent[name]--;
  }

  /** The message was handled, but its answer was dropped on the way: it may have been refused. */
  unanswered(name: Counted): void {
    this.#unsure[name]++;
  }

  /** The server answered a bank request with its number: the n-th must be number n. */
  receipt(number: number): void {
    this.#compare('banks', number);
  }

  /** The server answered a tally that was asked after all that was sent so far. */
  tally(counts: Counts): void {
    for (const name of NAMES) this.#compare(name, counts[name]);
  }

  #compare(name: Counted, got: number): void {
    this.checked++;
    const want = this.#sent[name];
    const unsure = this.#unsure[name];
    this.#unsure[name] = 0;
    this.#sent[name] = got; // each difference is counted once
    if (got <= want && got >= want - unsure) return;
    this.findings.push(`${name}: ${want} sent, ${got} took effect`);
    if (got < want) this.lost += want - unsure - got;
    else this.doubled += got - want;
  }
}
