import { describe, expect, it } from 'vitest';
import { type Pulse, Vigil } from './vigil.ts';

const pulse = (beats: number, more: Partial<Pulse> = {}): Pulse => ({
  pid: 7,
  epoch: 1,
  phase: 'serving',
  beats,
  ...more,
});
const free = (): boolean => false;

describe('who hangs', () => {
  it('is silent for as many looks as it may be, then hung; one beat begins anew', () => {
    const vigil = new Vigil(3);
    const looks = [1, 1, 1, 2, 2, 2, 2].map(beats => vigil.look(pulse(beats), free));
    expect(looks).toEqual(['beats', 'silent', 'silent', 'beats', 'silent', 'silent', 'hung']);
  });

  it('time does not matter: nobody looked, nobody hangs', () => {
    const vigil = new Vigil(2);
    vigil.look(pulse(1), free);
    // A pause of the host of any length.
    expect(vigil.look(pulse(1), free)).toBe('silent');
  });

  it('stopped, or in a debugger: never; and it has all its looks again afterwards', () => {
    const vigil = new Vigil(2);
    vigil.look(pulse(1), free);
    for (let k = 0; k < 50; k++) expect(vigil.look(pulse(1), () => true)).toBe('beats');
    expect(vigil.look(pulse(1), free)).toBe('silent');
    expect(vigil.look(pulse(1), free)).toBe('hung');
  });

  it('has more time before it serves; a new process, life or phase is a sign of life', () => {
    const vigil = new Vigil(2);
    const loading = pulse(0, { epoch: 0, phase: 'loading' });
    expect(vigil.look(loading, free)).toBe('beats');
    for (let k = 0; k < 11; k++) expect(vigil.look(loading, free)).toBe('silent');
    expect(vigil.look(loading, free)).toBe('hung');
    expect(vigil.look({ ...loading, pid: 8 }, free)).toBe('beats');
    expect(vigil.look({ ...loading, pid: 8, epoch: 2, phase: 'starting' }, free)).toBe('beats');
    expect(vigil.look({ ...loading, pid: 8, epoch: 2, phase: 'serving' }, free)).toBe('beats');
    expect(vigil.look(undefined, free)).toBe('beats');
  });

  it('0 polls: never', () => {
    const vigil = new Vigil(0);
    for (let k = 0; k < 100; k++) expect(vigil.look(pulse(1), free)).toBe('beats');
  });
});
