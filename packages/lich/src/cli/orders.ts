/** Orders to the owner of a node: what comes of them. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { listSegments } from '../shm/index.ts';
import { print } from './text.ts';

const ANSWER_MS = 15_000;

/** Wait for the owner's word.
 * @param verb of the command @param file of the order @param done said when it was done
 * @returns 1 when it could not be done */
export async function answered(verb: string, dir: string, node: string, file: string, done: string): Promise<number> {
  if (listSegments(dir).find(({ name }) => name === node)?.owner === undefined) {
    print(`${node} does not run: it is done when it starts`);
    return 0;
  }
  const until = performance.now() + ANSWER_MS;
  while (existsSync(file)) {
    if (performance.now() > until) {
      print(`${node} has not done it yet; it will`);
      return 0;
    }
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  const error = file.replace(/json$/, 'error');
  if (!existsSync(error)) {
    print(done);
    return 0;
  }
  process.stderr.write(`lich ${verb}: ${readFileSync(error, 'utf8')}\n`);
  rmSync(error, { force: true });
  return 1;
}
