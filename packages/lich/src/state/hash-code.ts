// HOT: measured by benchmarks/containers
/** The look-up of maps and sets as text, compiled for each kind of table in a store: all offsets are literals, the typed
 * arrays constants, nothing is called for keys that are whole numbers.
 *
 * Why: at a million entries a look-up waits for two or three words of memory. A processor overlaps the waits of several
 * look-ups if each is short: as methods of the classes that write, it took twice as long. What it does is in
 * hash-table.ts, which has the same in readable form for other keys. */
import type { AnyKind } from '@lich/schema';
import { HEAD_STAMP, TABLE } from './chain-shape.ts';
import { freed } from './door.ts';
import { StateError } from './errors.ts';
import { hashText, hashWide } from './hash-keys.ts';
import type { StoreContext } from './memory.ts';
import { equalsText, equalsUnits } from './text.ts';

/** What the text is made from. */
export interface LookUpPlan {
  readonly context: StoreContext;
  readonly key: AnyKind;
  /** Words from an entry to its key. */
  readonly keyWords: number;
  readonly value: AnyKind | undefined;
  /** Bytes from an entry to its value. */
  readonly valueOffset: number;
  /** Words from the control part to entry 0, with a capacity. */
  readonly entries: number;
  readonly stride: number;
  readonly grows: boolean;
  /** Of those with a capacity. */
  readonly bucketCount: number;
  /** Takes the slot that was found. */
  readonly out: { slot: number };
}

export interface LookUp {
  /** @param home word of the home, 0 = freed
   * @returns word of the entry, 0 = the key is not there
   * @throws StateError `STATE_FREED` */
  readonly find: (home: number, key: unknown) => number;
  /** The value of a key, or undefined; for values that are numbers. */
  readonly get: ((home: number, key: unknown) => unknown) | undefined;
}

/** Entries of a chain between two looks whether it can be as long. */
export const HOPS_MASK = 63;

export function endlessChain(): never {
  throw new StateError(
    'STATE_CORRUPT',
    'a map or set is overwritten: the entries of one of its buckets lead in a circle; run `lich check`',
    { severity: 'fatal' },
  );
}

let tables = 0;

/** @returns undefined for kinds of keys that have none */
export function lookUpOf(plan: LookUpPlan): LookUp | undefined {
  const { key, keyWords, entries, stride, grows, bucketCount, context } = plan;
  const same = sameKey(key, keyWords);
  if (same === undefined) return undefined;
  const number = key.tag !== 'text';
  const mix = `x^=x>>>16;x=imul(x,0x7feb352d);x^=x>>>15;x=imul(x,${0x846c_a68b | 0});x^=x>>>16;`;
  const hash = number
    ? `let x=key|0;if(x===key){${mix}}else ${key.tag === 'int' ? 'x=hashWide(key)' : 'return NONE'};`
    : 'const x=hashText(key);';
  // The chain is word 0 of an entry.
  const { count, buckets, rest } = TABLE;
  // 4 slots in the first chunk, front words before the slots: chunks.ts.
  const bucket = grows
    ? `const n=I[(c+${buckets})|0];if(n===0)return NONE;
const m=n===1?0:-1>>>clz32(n-1);let b=x&m;if(b>=n)b&=m>>>1;
b=(b+4)|0;let k=29-clz32(b);let l=I[(${context.heap.base}+I[(c+${rest}+k)|0]+b-(4<<k))|0];`
    : `if(I[(c+${count})|0]===0)return NONE;let l=I[(c+${rest}+(x&${bucketCount - 1}))|0];`;
  const entry = grows
    ? `const a=(l+3)|0;k=29-clz32(a);const s=4<<k,e=(${context.heap.base}+I[(c+${rest}+k)|0]+s+imul(a-s,${stride}))|0;`
    : `const e=(c+${entries - stride}+imul(l,${stride}))|0;`;
  const control = grows
    ? `const h=I[home];if(h===0)return NONE;const c=(h+${context.heap.base + HEAD_STAMP})|0;`
    : 'const c=home;';
  const text = (none: string, found: string) =>
    `function(home,key){
if(home===0)freed();if(typeof key!=='${number ? 'number' : 'string'}')return NONE;
${control}${hash}${bucket}
for(let i=1;l!==0;i++){${entry}if(${same}){${found}}l=I[e];if((i&${HOPS_MASK})===0&&!(i<=I[(c+${count})|0]))endlessChain();}
return NONE;}`.replaceAll('NONE', none);
  const value = plan.value && numberAt(plan.value, plan.valueOffset);
  const source = `'use strict';// table ${++tables}
return{find:${text('0', 'out.slot=l-1;return e;')},get:${value === undefined ? 'undefined' : text('undefined', `return ${value};`)}};`;
  const { mem } = context;
  const given: Record<string, unknown> = {
    I: mem.i32,
    U: mem.u32,
    F: mem.f64,
    S: mem.f32,
    B: mem.u8,
    C: mem.i8,
    H: mem.u16,
    J: mem.i16,
    imul: Math.imul,
    clz32: Math.clz32,
    hashWide,
    hashText,
    equalsText,
    equalsUnits,
    freed,
    endlessChain,
    base: context.heap.base,
    out: plan.out,
  };
  // oxlint-disable-next-line typescript/no-implied-eval -- all text is ours: numbers and names of variables
  const make = new Function(...Object.keys(given), source) as (...args: unknown[]) => LookUp;
  return make(...Object.values(given));
}

/** Text that is true when the entry `e` has the key. */
function sameKey(kind: AnyKind, words: number): string | undefined {
  const at = `(e+${words})|0`;
  switch (kind.tag) {
    case 'int':
      return `F[(e+${words})>>1]===key`;
    case 'u32':
      return `U[${at}]===key`;
    case 'i32':
      return `I[${at}]===key`;
    case 'text':
      return kind.length > 0
        ? `equalsText(H,${at},key)`
        : `U[(e+${words + 1})|0]===key.length&&equalsUnits(H,(base+I[${at}])*2,key)`;
    default:
      return undefined;
  }
}

/** Text that reads a value. */
function numberAt(kind: AnyKind, offset: number): string | undefined {
  switch (kind.tag) {
    case 'u8':
      return `B[e*4+${offset}]`;
    case 'i8':
      return `C[e*4+${offset}]`;
    case 'bool':
      return `B[e*4+${offset}]!==0`;
    case 'u16':
      return `H[e*2+${offset / 2}]`;
    case 'i16':
      return `J[e*2+${offset / 2}]`;
    case 'u32':
      return `U[(e+${offset / 4})|0]`;
    case 'i32':
      return `I[(e+${offset / 4})|0]`;
    case 'f32':
      return `S[(e+${offset / 4})|0]`;
    case 'f64':
    case 'int':
      return `F[(e+${offset / 4})>>1]`;
    default:
      return undefined;
  }
}
