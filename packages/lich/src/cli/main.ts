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
    usage: 'up <topology.ts> [--host NAME] [--dir DIR] [--keep] [--orphan-ms N]',
    summary: 'start everything, or adopt what runs; Ctrl-C ends it and removes the segments, unless --keep',
    run: async args => (await import('./up.ts')).up(args),
  },
  ps: {
    usage: 'ps [--json] [--dir DIR]',
    summary: 'what runs: processes, their memory, who owns; 1 when nothing does or a node is down',
    run: async args => (await import('./ps.ts')).ps(args),
  },
  stop: {
    usage: 'stop [node]… [--keep] [--dir DIR]',
    summary: 'end everything in order, or the nodes that are named',
    run: async args => (await import('./stop.ts')).stop(args),
  },
  start: {
    usage: 'start <node>… [--dir DIR]',
    summary: 'start nodes that were stopped, or are down',
    run: async args => (await import('./stop.ts')).start(args),
  },
  bus: {
    usage: 'bus [--json] [--dir DIR]\n  lich bus drop <from> <to> [--dir DIR]',
    summary: 'who sends to whom, and what waits; 1 when messages wait for nodes that do not run. Drop gives them up',
    run: async args => (await import('./bus.ts')).busCommand(args),
  },
  top: {
    usage: 'top [--every SECONDS] [--times N] [--json] [--dir DIR]',
    summary: 'nodes and what goes between them, now; live in a terminal',
    run: async args => (await import('./top.ts')).top(args),
  },
  trace: {
    usage: 'trace <node> [--rate N] [--count N] [--for SECONDS] [--json] [--dir DIR]',
    summary: 'messages to and from a node as they pass, so many a second at most (20)',
    run: async args => (await import('./trace.ts')).trace(args),
  },
  kill: {
    usage: 'kill <node>… [--standby] [--dir DIR]',
    summary: 'SIGKILL the owner of a node, or its standby, to see what happens',
    run: async args => (await import('./stop.ts')).kill(args),
  },
  logs: {
    usage: 'logs [node]… [--follow] [--lines N] [--level info|warn|error] [--json] [--dir DIR]',
    summary: 'what nodes wrote, in the order of time',
    run: async args => (await import('./logs.ts')).logs(args),
  },
  dev: {
    usage: 'dev <topology.ts> [--dir DIR] [--keep]',
    summary: 'the same, and whoever saves a file deploys it into the running state',
    run: async args => (await import('./up.ts')).up(args, true),
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
  quarantine: {
    usage: 'quarantine [list | show <id>… | requeue <id>… | drop <id>… | release <node> <record>] [--json] [--dir DIR]',
    summary: 'what kept ending a process: look at it, have it handled again, give it up',
    run: async args => (await import('./quarantine.ts')).quarantineCommand(args),
  },
  flows: {
    usage:
      'flows [node]… [--stuck] [--limit N] [--json] [--dir DIR]\n  lich flows cancel | drop <node> [<id> | <name>]… [--stuck] [--dir DIR]',
    summary:
      'what waits: what for, since when, why it is stuck; 1 when some are. Cancel undoes, drop does nothing more',
    run: async args => (await import('./flows.ts')).flowsCommand(args),
  },
  record: {
    usage: 'record [node] [--mib N | --off] [--dir DIR]',
    summary: 'keep what a node is given in a bounded ring, for replays; it may run',
    run: async args => (await import('./record.ts')).record(args),
  },
  test: {
    usage: 'test <topology.ts> <node> --twice --from <file.dump> [--to K] [--dir DIR]',
    summary: 'do each recorded input twice: names the first field that differs',
    run: async args => (await import('./test.ts')).test(args),
  },
  replay: {
    usage:
      'replay <topology.ts> <node> --from <file.dump> [--to K] [--with <file.dump>] [--back N] [--dir DIR]\n  lich replay <id | folder of a capsule> [--now] [--inspect-brk[=PORT]] [--dir DIR]',
    summary:
      'do what is in quarantine again, on a scratch copy of the state before it; 1 when it ends the process again',
    run: async args =>
      args.some(arg => arg.startsWith('--from'))
        ? (await import('./replay-inputs.ts')).replayInputs(args)
        : (await import('./replay.ts')).replay(args),
  },
  deploy: {
    usage: 'deploy [service]… [--dry-run] [--set-aside NAME]… [--no-way-back] [--probation MS] [--dir DIR]',
    summary: 'bring services that run to the code that is on disk now; a bad one goes back by itself',
    run: async args => (await import('./deploy.ts')).deploy(args),
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
