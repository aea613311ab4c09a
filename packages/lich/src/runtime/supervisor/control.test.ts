import { once } from 'node:events';
import * as fs from 'node:fs';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { RuntimeError } from '../errors.ts';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { askSupervisor, controlPath, type ControlServer, type ControlVerb, serveControl } from './control.ts';

let server: ControlServer | undefined;
afterEach(() => {
  server?.close();
  server = undefined;
  removeTestDirs();
});

async function serving(verbs: Record<string, ControlVerb>, dir = testDir()): Promise<string> {
  server = await serveControl(dir, new Map(Object.entries(verbs)));
  return dir;
}

describe('the control socket', () => {
  it('answers with events, then the result', async () => {
    const dir = await serving({
      count: async ({ args, tell }) => {
        for (let k = 1; k <= (args as { to: number }).to; k++) tell({ k });
        await new Promise(resolve => setImmediate(resolve));
        return { done: 'täglich\n' };
      },
      nothing: () => {},
    });
    const events: unknown[] = [];
    expect(await askSupervisor(dir, 'count', { to: 3 }, event => events.push(event))).toEqual({ done: 'täglich\n' });
    expect(events).toEqual([{ k: 1 }, { k: 2 }, { k: 3 }]);
    expect(await askSupervisor(dir, 'nothing')).toBe(null);
    expect(fs.statSync(controlPath(dir)).mode & 0o777).toBe(0o600);
  });

  it('a verb that throws: the asker gets the code', async () => {
    const dir = await serving({
      coded: () => {
        throw new RuntimeError('RUNTIME_IN_USE', 'seven are there', { severity: 'warn' });
      },
      plain: () => Promise.reject(new Error('not ready')),
      cyclic: () => {
        const a: Record<string, unknown> = {};
        return (a.a = a);
      },
    });
    await expect(askSupervisor(dir, 'coded')).rejects.toMatchObject({
      code: 'RUNTIME_IN_USE',
      message: 'seven are there',
      severity: 'warn',
    });
    await expect(askSupervisor(dir, 'plain')).rejects.toMatchObject({ code: 'RUNTIME_CONTROL', message: 'not ready' });
    await expect(askSupervisor(dir, 'cyclic')).rejects.toMatchObject({ code: 'RUNTIME_CONTROL' });
    await expect(askSupervisor(dir, 'other')).rejects.toThrow(/does not know `other`; it knows coded, cyclic, plain/);
  });

  it('nobody there: a code, also where a killed one left its socket; who comes next takes the name', async () => {
    const dir = testDir();
    await expect(askSupervisor(dir, 'ps')).rejects.toMatchObject({ code: 'RUNTIME_NO_SUPERVISOR' });
    await serving({ ps: () => 1 }, dir);
    fs.linkSync(controlPath(dir), `${dir}/left`);
    server!.close();
    fs.renameSync(`${dir}/left`, controlPath(dir));
    await expect(askSupervisor(dir, 'ps')).rejects.toMatchObject({ code: 'RUNTIME_NO_SUPERVISOR' });
    await serving({ ps: () => 2 }, dir);
    expect(await askSupervisor(dir, 'ps')).toBe(2);
  });

  it('a supervisor that goes away while it works: outcome unknown', async () => {
    let begun!: () => void;
    const started = new Promise<void>(resolve => (begun = resolve));
    let aborted = false;
    const dir = await serving({
      wait: ({ signal }) => {
        begun();
        return new Promise(() => signal.addEventListener('abort', () => (aborted = true)));
      },
    });
    const asked = askSupervisor(dir, 'wait').then(String, String);
    await started;
    server!.close();
    expect(await asked).toMatch(/it may have done it or not/);
    while (!aborted) await new Promise(resolve => setImmediate(resolve));
  });

  it('an asker that goes away: the verb is told', async () => {
    const leave = new AbortController();
    let told!: () => void;
    const heard = new Promise<void>(resolve => (told = resolve));
    const dir = await serving({
      wait: ({ signal }) => {
        signal.addEventListener('abort', told);
        leave.abort();
        return new Promise(() => {});
      },
    });
    await expect(askSupervisor(dir, 'wait', {}, undefined, leave.signal)).rejects.toThrow(/was left/);
    await heard;
  });

  it('garbage, other protocols and endless lines are refused', async () => {
    const dir = await serving({ ps: () => 1 });
    const answerTo = async (bytes: string | Buffer): Promise<string> => {
      const socket = connect(controlPath(dir));
      let text = '';
      socket.on('data', chunk => (text += String(chunk)));
      socket.on('error', () => {});
      socket.write(bytes);
      await once(socket, 'close');
      return text;
    };
    expect(await answerTo('hello\n')).toContain('RUNTIME_CONTROL');
    expect(await answerTo('null\n')).toContain('answers protocol 1');
    expect(await answerTo('{"lich":2,"verb":"ps"}\n')).toContain('answers protocol 1');
    expect(await answerTo(Buffer.alloc((1 << 20) + 1, 65))).toBe('');
    expect(await answerTo('{"lich":1,"verb":"ps"}\n')).toBe('{"result":1}\n');
  });

  it('a directory whose path is longer than the address of a socket', async () => {
    const dir = `${testDir()}/${'long'.repeat(40)}`;
    fs.mkdirSync(dir);
    await serving({ ps: () => 7 }, dir);
    expect(await askSupervisor(dir, 'ps')).toBe(7);
    expect(fs.readdirSync(dir)).toEqual(['supervisor.sock']);
  });
});
