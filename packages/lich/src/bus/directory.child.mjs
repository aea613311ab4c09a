// Enters a node when it is told to: many of these at once must all find a place.
import { Directory } from 'lich/bus';

process.on('message', ({ dir, name, id, times, max }) => {
  try {
    const entries = [];
    for (let k = 0; k < times; k++)
      entries.push(new Directory(dir, max).ensure(times === 1 ? name : `${name}-${k}`, id + k));
    process.send({ entries });
  } catch (error) {
    process.send({ error: { name: error.name, code: error.code, message: error.message } });
  }
});
process.on('disconnect', () => process.exit(0));
process.send({ ready: true });
