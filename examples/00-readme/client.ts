/** Walk, buy, and look: `node dist/client.js [url]`. Kill the scene (kill -9) while it runs: it goes on. */
import { connect } from '@lich/client';
import { Arena, State } from './game.ts';

const url = process.argv[2] ?? 'ws://127.0.0.1:7777';
const game = await connect(url, { protocol: Arena, state: State });
game.on('died', ({ name }) => console.log(`${name} died`));
game.onTakeover(({ epoch, gapMs }) => console.log(`life ${epoch} of the scene, after ${gapMs.toFixed(1)} ms`));
game.view.players.onEnter(p => console.log(`somebody at ${p.x}, ${p.y}`));
game.send('walk', { dx: 1, dy: 0 });
const { count } = await game.ask('buy', { kind: 7 }); // resumes over reconnects and kills
console.log(`${count} of kind 7 in the bag`);
game.close();
