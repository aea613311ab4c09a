/** What must hold in every committed state of the arena, checked on a copy read from outside. Pure. */
import type { Ref } from '@lich/schema';
import { GOLD, ITEMS, MAP } from './game.ts';

export interface WorldPlayer extends Ref {
  readonly gold: number;
  readonly saved: number;
  readonly items: number;
  readonly hp: number;
  readonly x: number;
  readonly y: number;
}

export interface World {
  readonly treasury: number;
  readonly players: readonly WorldPlayer[];
  readonly heaps: readonly { readonly gold: number }[];
  readonly items: readonly { readonly serial: number; readonly owner: Ref | undefined }[];
}

const idOf = ({ slot, generation }: Ref): string => `${slot}/${generation}`;

/** @returns a sentence for each rule that does not hold; empty when all is well */
export function brokenRules(world: World): string[] {
  return [...goldRules(world), ...itemRules(world), ...playerRules(world)];
}

function goldRules({ treasury, players, heaps }: World): string[] {
  const broken: string[] = [];
  let total = treasury;
  for (const { gold, saved, slot } of players) {
    if (gold < 0 || saved < 0) broken.push(`player ${slot} has ${gold} gold and ${saved} in the bank`);
    total += gold + saved;
  }
  for (const { gold } of heaps) {
    if (gold <= 0) broken.push(`a heap of ${gold} gold lies on the ground`);
    total += gold;
  }
  if (treasury < 0) broken.push(`the treasury holds ${treasury}`);
  if (total !== GOLD) broken.push(`there are ${total} gold, not ${GOLD}`);
  return broken;
}

function itemRules({ players, items }: World): string[] {
  const broken: string[] = [];
  const carried = new Map(players.map(player => [idOf(player), 0]));
  const seen = new Set<number>();
  for (const { serial, owner } of items) {
    if (seen.has(serial)) broken.push(`item ${serial} exists twice`);
    if (!(serial >= 1 && serial <= ITEMS)) broken.push(`item ${serial} is none of 1..${ITEMS}`);
    seen.add(serial);
    if (!owner) continue;
    const count = carried.get(idOf(owner));
    if (count === undefined) broken.push(`item ${serial} belongs to ${idOf(owner)}, who is not there`);
    else carried.set(idOf(owner), count + 1);
  }
  if (seen.size !== ITEMS) broken.push(`there are ${seen.size} items, not ${ITEMS}`);
  for (const player of players) {
    const count = carried.get(idOf(player));
    if (count !== player.items) broken.push(`player ${player.slot} counts ${player.items} items and has ${count}`);
  }
  return broken;
}

function playerRules({ players }: World): string[] {
  const broken: string[] = [];
  for (const { slot, hp, x, y } of players) {
    if (hp > 100) broken.push(`player ${slot} has ${hp} hp`);
    if (!(x >= 0 && x <= MAP.width && y >= 0 && y <= MAP.height)) broken.push(`player ${slot} is at ${x}, ${y}`);
  }
  return broken;
}
