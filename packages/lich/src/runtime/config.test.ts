import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { loadConfigFile, mergeConfig } from './config.ts';

afterEach(removeTestDirs);

const DEFAULTS = {
  speed: 5,
  name: 'arena',
  open: true,
  spawn: { x: 1, y: 2, safe: { ms: 100 } },
  levels: [1, 2],
  empty: [] as unknown[],
};
const bad = (overrides: object) => {
  try {
    mergeConfig(DEFAULTS, overrides as never, 'scene.config.ts');
  } catch (error) {
    return { code: (error as { code: string }).code, message: (error as Error).message };
  }
  throw new Error('was taken');
};

describe('configs', () => {
  it('overlays, deeply, and leaves both parts as they were', () => {
    const overrides = { speed: 7, spawn: { y: 9, safe: { ms: 1 } }, levels: [3] };
    expect(mergeConfig(DEFAULTS, overrides, 'f')).toEqual({
      ...DEFAULTS,
      speed: 7,
      spawn: { x: 1, y: 9, safe: { ms: 1 } },
      levels: [3],
    });
    expect(DEFAULTS.spawn.y).toBe(2);
    expect(mergeConfig(DEFAULTS, {}, 'f')).toEqual(DEFAULTS);
    expect(mergeConfig({}, {}, 'f')).toEqual({});
  });

  it('is frozen all the way', () => {
    const merged = mergeConfig(DEFAULTS, { spawn: { x: 3 } }, 'f') as typeof DEFAULTS;
    for (const set of [
      () => void (merged.speed = 1),
      () => void (merged.spawn.x = 1),
      () => void (merged.spawn.safe.ms = 1),
      () => void merged.levels.push(1),
    ]) {
      expect(set).toThrow(TypeError);
    }
  });

  it.each<[object, string, string]>([
    [{ sped: 1 }, 'sped', 'known: speed, name, open'],
    [{ speed: '1' }, 'speed', 'want a number such as 5'],
    [{ speed: NaN }, 'speed', 'finite'],
    [{ speed: null }, 'speed', 'null'],
    [{ speed: undefined }, 'speed', 'undefined'],
    [{ open: 1 }, 'open', 'want a boolean such as true'],
    [{ spawn: 5 }, 'spawn', 'want a object'],
    [{ spawn: [1] }, 'spawn', 'want a object'],
    [{ spawn: { z: 1 } }, 'spawn.z', 'known: spawn.x, spawn.y, spawn.safe'],
    [{ spawn: { safe: { ms: 'x' } } }, 'spawn.safe.ms', 'want a number such as 100'],
    [{ levels: 1 }, 'levels', 'want a array'],
    [{ levels: [1, 'two'] }, 'levels[1]', 'want a number'],
    [{ levels: [Infinity] }, 'levels[0]', 'finite'],
    [{ toString: 1 }, 'toString', 'is not a field'],
    [{ constructor: {} }, 'constructor', 'is not a field'],
    [JSON.parse('{"__proto__": {"speed": 1}}') as object, '__proto__', 'is not a field'],
  ])('%o: refused, naming file and field', (overrides, field, why) => {
    const { code, message } = bad(overrides);
    expect(code).toBe('RUNTIME_BAD_CONFIG');
    expect(message).toContain('scene.config.ts');
    expect(message).toContain(`field ${field} `);
    expect(message).toContain(why);
  });

  it('an array without elements by default takes any', () => {
    expect(mergeConfig(DEFAULTS, { empty: ['x', 1] }, 'f').empty).toEqual(['x', 1]);
  });

  it('files: missing, without a default, and with one', async () => {
    const dir = testDir();
    await expect(loadConfigFile(`${dir}/none.js`)).rejects.toMatchObject({
      code: 'RUNTIME_BAD_CONFIG',
      message: expect.stringContaining('none.js does not exist') as string,
    });
    fs.writeFileSync(`${dir}/named.mjs`, 'export const speed = 1;');
    await expect(loadConfigFile(`${dir}/named.mjs`)).rejects.toMatchObject({ code: 'RUNTIME_BAD_CONFIG' });
    fs.writeFileSync(`${dir}/array.mjs`, 'export default [1];');
    await expect(loadConfigFile(`${dir}/array.mjs`)).rejects.toMatchObject({ code: 'RUNTIME_BAD_CONFIG' });
    fs.writeFileSync(`${dir}/good.mjs`, 'export default { speed: 9 };');
    expect(await loadConfigFile(`${dir}/good.mjs`)).toEqual({ speed: 9 });
  });
});
