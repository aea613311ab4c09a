/** Keeps a core busy while it is let run. */
import { helperInput, pin } from '../lib/tools.ts';

pin(helperInput<{ cpu: 0 | 1 }>().cpu);
process.on('disconnect', () => process.exit());
process.send!('ready');
setImmediate(function spin() {
  const until = performance.now() + 50;
  while (performance.now() < until);
  setImmediate(spin);
});
