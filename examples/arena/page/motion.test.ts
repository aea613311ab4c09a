import { expect, test } from 'vitest';
import { SPEED } from '../game.ts';
import { DELAY_MS, OwnMotion, Track } from './motion.ts';

const TICK = 1000 / 60;

test('others are drawn between two places that were sent', () => {
  const track = new Track();
  track.push(0, 0, 0);
  track.push(10, 20, TICK);
  const half = track.at(DELAY_MS + TICK / 2)!;
  expect(half.x).toBeCloseTo(5);
  expect(half.y).toBeCloseTo(10);
  expect(track.at(DELAY_MS + 5 * TICK)).toMatchObject({ x: 10, y: 20 });
  expect(track.at(0)).toMatchObject({ x: 0, y: 0 });
});

test('who stood still sets off at once, and does not slide through the pause', () => {
  const track = new Track();
  track.push(0, 0, 0);
  track.push(4, 0, 5_000);
  expect(track.at(5_000 + DELAY_MS - 2 * TICK)).toMatchObject({ x: 0, y: 0 });
  expect(track.at(5_000 + DELAY_MS - TICK / 2)!.x).toBeCloseTo(2);
});

test('a respawn is a jump', () => {
  const track = new Track();
  track.push(0, 0, 0);
  track.push(900, 0, TICK);
  expect(track.at(DELAY_MS)).toMatchObject({ x: 900 });
});

test('the own dot walks at once, and ends where the server says', () => {
  const own = new OwnMotion();
  expect(own.step(TICK / 1000)).toBeUndefined();
  own.push(100, 100);
  own.steer(1, 0);
  expect(own.step(TICK / 1000)!.x).toBeGreaterThan(100 + (SPEED * TICK) / 1000 / 2);
  own.steer(0, 0);
  own.push(130, 100);
  let place = own.step(0.1)!;
  for (let k = 0; k < 20; k++) place = own.step(0.1)!;
  expect(place.x).toBeCloseTo(130, 1);
});
