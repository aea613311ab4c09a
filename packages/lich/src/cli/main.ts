/** The `lich` command: one file per verb, loaded when it is called. */
import { CodedError } from '@lich/schema';
import { UsageError } from './usage.ts';

interface Verb {
  readonly usage: string;
  readonly summary: string;
  readonly run: (args: readonly string[]) => Promise<number> | number;
}

const VERBS: Readonly<Record<string, Verb>> = {
  up: {
    usage: 'up <topology.ts> [--dir DIR] [--keep]',
    summary: 'start everything; Ctrl-C ends it and removes the segments, unless --keep',
    run: async args => (await import('./up.ts')).up(args),
  },
  size: {
    usage: 'size <topology.ts>',
    summary: 'bytes per service and pool, and whether they fit here',
    run: async args => (await import('./size.ts')).size(args),
  },
  ls: {
    usage: 'ls [--dir DIR]',
    summary: 'nodes of a directory: what runs, and what an earlier run left',
    run: async args => (await import('./ls.ts')).list(args),
  },
  inspect: {
    usage: 'inspect <node | file.dump> [path] [--sizes] [--machine] [--all] [--limit N] [--json] [--dir DIR]',
    summary: 'what a state holds: its schema, how full it is, a record by path or query',
    run: async args => (await import('./inspect.ts')).inspect(args),
  },
  diff: {
    usage: 'diff <node | file.dump> <node | file.dump> [--limit N] [--json] [--dir DIR]',
    summary: 'layouts and records of two states; 1 when they differ',
    run: async args => (await import('./diff.ts')).diff(args),
  },
  dump: {
    usage: 'dump <node> [file] [--packing none|deflate|brotli|zstd] [--dir DIR]',
    summary: 'the state of a node as of one commit, in a file; it may run',
    run: async args => (await import('./dump.ts')).dump(args),
  },
  restore: {
    usage: 'restore <file.dump> [node] [--forget] [--dir DIR]',
    summary: 'make a node from a dump, where there is none',
    run: async args => (await import('./restore.ts')).restore(args),
  },
  check: {
    usage: 'check [node | file.dump]… [--dir DIR]',
    summary: 'walk every structure of every state, or of those named, from outside',
    run: async args => (await import('./check.ts')).checkCommand(args),
  },
  migrate: {
    usage: 'migrate <topology.ts> [node]… [--dry-run | --undo] [--dir DIR]',
    summary: 'bring the states of nodes that do not run into the layout of their code',
    run: async args => (await import('./migrate.ts')).migrateCommand(args),
  },
  rm: {
    usage: 'rm <node | --all> [--dir DIR]',
    summary: "destroy a node's segments; refused while it runs",
    run: async args => (await import('./rm.ts')).remove(args),
  },
};

function help(): string {
  const lines = Object.values(VERBS).map(verb => `  lich ${verb.usage}\n      ${verb.summary}`);
  return `lich: game servers that outlive their process\n\n${lines.join('\n')}\n\nDIR: $LICH_DIR, else /dev/shm/lich-<uid>\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(help());
    return name === undefined ? 2 : 0;
  }
  const verb = VERBS[name];
  if (verb === undefined) {
    process.stderr.write(`lich: there is no command ${name}\n\n${help()}`);
    return 2;
  }
  try {
    return await verb.run(rest);
  } catch (error) {
    process.stderr.write(`lich ${name}: ${describe(error)}\n`);
    return isUsage(error) ? 2 : 1;
  }
}

function isUsage(error: unknown): boolean {
  return error instanceof UsageError || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
}

/** What people read: the code and the message; the stack only of what should not have happened. */
function describe(error: unknown): string {
  if (error instanceof CodedError) return `${error.code}: ${error.message}`;
  if (error instanceof Error) return process.env.LICH_DEBUG ? (error.stack ?? error.message) : error.message;
  return String(error);
}

// Who reads our output may go away; what runs goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exitCode = await main(process.argv.slice(2));
