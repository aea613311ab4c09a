// HOT: measured by benchmarks/state
/** Accessors: one `new Function` per store makes the undo log's functions and a view class for every record and every
 * nested struct, with all offsets as literals.
 *
 *   record view    $b = word of its slot, 0 once freed        fields at $b + 4 + offset / 4, stamp at $b + 2
 *   nested view    $b = word of the struct, 0 once freed      fields at $b + offset / 4, stamp at $s
 *   both           $t = `now.t` when the record is known to have the current stamp; $n = views of nested parts
 *   root view      addresses are literals
 *
 * Why it looks as it does (figures: Node 20, four logged writes, a plain object takes 3.5 ns):
 * - the typed arrays are parameters that nothing assigns, so the compiler takes them as constants;
 * - `lim` is a `var` in the same context; the log position lives in the segment alone;
 * - V8 inlines 920 bytes of bytecode into one function: setters are kept short (a local for an array that is used
 *   twice, no class scope around accessors, hence `$b` and not `#b`), else the fourth write of a handler becomes a call
 *   (10 ns became 16). Services run with a larger budget (--max-inlined-bytecode-size-cumulative);
 * - a freed record reads $b = 0: `this.$b||freed()` costs 0.1 ns, and a use after free leaves no type feedback behind
 *   that would slow the others; writes need no test of their own, because a freed view's $t is never the current one;
 * - whether a record was stamped since the last line (`nextStamp`) is asked of the view, `$t`, and not of the segment
 *   (0.8 ns less); most writes of a busy record find it so (stamping in each transaction cost 6 ns more);
 * - fields are own accessors of each view, so that keys, spread and deep equality see them; they cost 0.1 µs a field once
 *   per view, and nothing at use. */
import {
  type AnyKind,
  type FieldLayout,
  isContainer,
  ownsHeap,
  type RecordRef,
  type StructLayout,
  zeroOf,
} from '@lich/schema';
import { isView } from './door.ts';
import type { Journal } from './journal.ts';
import type { Arrays, Stamp } from './memory.ts';
import type { PoolSlots } from './pool-places.ts';
import { LOG_WORD, type LogCore, logSource } from './undo-log.ts';
import { LOG_POS, STAMP_HI, STAMP_LO } from './words.ts';

/** Words of a slot before its payload: fence, generation, stamp (two). */
export const SLOT_HEADER = 4;
export const SLOT_GENERATION = 1;
export const SLOT_STAMP = 2;
/** Fence words are this ^ slot. */
export const FENCE = 0x4c43_4853;

/** Static functions of a generated view class. */
export interface ViewClass {
  new (word: number, stamp: Stamp): object;
  /** $b, or 0 when it is freed. */
  base(view: object): number;
  free(view: object): void;
  /** @param word where a record is; nested views go home by themselves */
  revive(view: object, word: number): void;
  /** Is this one of mine? */
  is(value: object): boolean;
  /** Set the fields that `init` names. */
  init(view: object, init: object): void;
  /** Set all fields: what `value` leaves out has its initial value. */
  assign(view: object, value: object): void;
  /** Throw for the first field of `init` that does not fit, before anything is written. */
  check(init: object): void;
}

export interface PoolCode {
  /** Of its records: one, or those of a family's classes. */
  readonly layouts: readonly StructLayout[];
  /** Of a pool with a capacity: word of slot 0, words between slots, word of the first block stamp. */
  readonly slots: number;
  readonly stride: number;
  readonly blocks: number;
  /** Of a pool that grows: its addresses, and the word of its `high`. */
  readonly grows: { readonly at: PoolSlots; readonly high: number } | undefined;
  /** Words from a slot to its second fence. */
  readonly fence: number;
}

/** What the generated text calls. */
export interface Hooks {
  refuseWrite(): never;
  refuseBegin(): never;
  refuseCommit(): never;
  freed(): never;
  /** @throws SchemaError `SCHEMA_RANGE` unless the value fits after all (NaN in an f32) */
  bad(field: number, value: unknown): void;
  /** Refuse a name in `init` that is no field. */
  unknown(layout: StructLayout, init: object): void;
  /** The fences of a slot are not what they should be. */
  broken(pool: number, slot: number): never;
  touch(stamp: Stamp): void;
  getText(word: number, length: number): string;
  setText(word: number, value: string): void;
  getLongText(word: number): string;
  setLongText(word: number, value: string): void;
  getLongBytes(word: number): Uint8Array;
  setLongBytes(word: number, value: Uint8Array): void;
  getBytes(word: number, length: number): Uint8Array;
  setBytes(word: number, value: Uint8Array): void;
  refOf(field: number, value: unknown): RecordRef | undefined;
  setRef(word: number, ref: RecordRef | undefined): void;
  /** Bring what the value of a field, at this word, has in the heap; only where `fetches` is set. */
  fetch(field: number, word: number): void;
  makeView(field: number, word: number, stamp: Stamp, record?: object): object;
  freeView(field: number, view: object): void;
  reviveView(field: number, view: object): void;
  assignView(field: number, view: object, value: unknown): void;
  /** @param word where the struct begins that the field is in */
  setOptional(field: number, word: number, value: unknown): void;
}

export interface Generated {
  readonly log: LogCore;
  /** By pool, one for each of its layouts. */
  readonly pools: readonly (readonly ViewClass[])[];
  /** By layout. */
  readonly nested: ReadonlyMap<StructLayout, ViewClass>;
  readonly root: ViewClass;
  /** Stamp a record and its block. */
  readonly markers: readonly ((base: number) => void)[];
}

export interface AccessorPlan {
  readonly log: { readonly base: number; readonly words: number };
  readonly pools: readonly PoolCode[];
  readonly nested: readonly StructLayout[];
  readonly root: StructLayout;
  /** Word of the root's payload, and of its stamp. */
  readonly rootWord: number;
  readonly rootStamp: number;
  readonly sizeBytes: number;
  /** Over a mirror: getters call `fetch` before they read the heap. */
  readonly fetches?: boolean;
  /** By pool name; filled before the first ref is read. */
  readonly refs: ReadonlyMap<
    string,
    { pool: { resolve(slot: number, generation: number): object | undefined } | undefined }
  >;
}

/** A field by the number that generated code uses for it. */
export interface NumberedField {
  readonly owner: StructLayout;
  readonly field: FieldLayout;
}

let stores = 0;

/** Write the text. `fields` collects what the hooks are called with. */
class Writer {
  readonly fields: NumberedField[] = [];
  /** Arrays and maps of names, initial values: parameters of the function. */
  readonly constants: unknown[] = [];
  readonly #plan: AccessorPlan;
  /** Text that has the holder of an optional view in `h`. */
  readonly #holders = new Map<number, string>();

  constructor(plan: AccessorPlan) {
    this.#plan = plan;
  }

  constant(value: unknown): string {
    this.constants.push(value);
    return `$${this.constants.length - 1}`;
  }

  /** The text of one view class, as `V<n>`.
   * @param marker what stamps a record */
  viewClass(name: string, layout: StructLayout, mode: 'record' | 'nested' | 'root', marker: string): string {
    const shift = mode === 'record' ? SLOT_HEADER : 0;
    const nested = mode === 'nested';
    const views: number[] = [];
    let body = '';
    let init = '';
    let assign = '';
    let check = '';
    for (const field of layout.fields) {
      const no = this.fields.push({ owner: layout, field }) - 1;
      const { kind } = field;
      const key = JSON.stringify(field.name);
      if (isView(kind)) views.push(no);
      // Who reads a mirror brings what is in the heap, and looks at it; and its root ends with each snapshot.
      let bring = '';
      if (this.#plan.fetches && kind.tag !== 'struct' && (ownsHeap(kind) || isContainer(kind)))
        bring = `fetch(${no},${this.#place(field, '(this.$b||freed())', shift, mode, 4)});`;
      if (this.#plan.fetches && mode === 'root') bring = `this.$b||freed();${bring}`;
      body += `get ${key}(){${bring}${this.#getter(field, no, mode, shift, views.length - 1)}},\nset ${key}(v){${this.#setter(field, no, mode, shift, marker)}},\n`;
      if (field.hidden) continue;
      init += `if((x=o[${key}])!==undefined)v[${key}]=x;`;
      const zero = this.constant(zeroOf(kind));
      assign += kind.tag === 'ref' ? `v[${key}]=o[${key}];` : `v[${key}]=(x=o[${key}])===undefined?${zero}:x;`;
      check += `if((x=o[${key}])!==undefined){${this.#check(kind, no, 'x')}}`;
    }
    const shown = layout.fields.filter(field => !field.hidden).map(field => field.name);
    const names = this.constant(shown);
    const known = this.constant(Object.fromEntries(shown.map(name => [name, true])));
    const own = this.constant([]);
    // Nested views, once made, in the order of their fields.
    const each = (call: string) =>
      views.length === 0
        ? ''
        : `if(v.$n!==undefined){let c;${views.map((no, k) => `if((c=v.$n[${k}])!==undefined)${call}(${no},c);`).join('')}}`;
    return `
function B${name}(){}
class ${name} extends B${name}{
${nested ? '#h;#t;' : ''}
constructor(b,s){super();hide(this,'$b',b);hide(this,'$t',0);${views.length > 0 ? "hide(this,'$n',undefined);" : ''}${nested ? "hide(this,'$s',s);this.#h=b;this.#t=s;" : ''}
for(let i=0;i<${own}.length;i++)defineProperty(this,${names}[i],${own}[i]);}
static base(v){return v.$b}
static free(v){v.$b=0;v.$t=0;${nested ? 'v.$s=2;' : ''}${each('freeView')}}
static revive(v,b){v.$t=0;v.$b=${nested ? 'v.#h;v.$s=v.#t' : 'b'};${each('reviveView')}}
static is(v){return v instanceof ${name}}
static init(v,o){let x;${init}}
static assign(v,o){let x;${assign}}
static check(o){let x;${check}for(x in o)if(${known}[x]!==true){unknown(${this.constant(layout)},o);break}}
}
take(${name},${names},${own},{${body}});
`;
  }

  /** Text of a place: `word` for the address in words, `byte`, `half`, `double` for the others. */
  #place(field: FieldLayout, base: string, shift: number, mode: string, unit: 1 | 2 | 4 | 8): string {
    const bytes = shift * 4 + field.offset;
    if (mode === 'root') return String((this.#plan.rootWord * 4 + field.offset) / unit);
    const plus = bytes / unit === 0 ? '' : `+${bytes / unit}`;
    switch (unit) {
      case 1:
        // Beyond 2 GiB a byte index does not fit a signed word.
        return `(${base}<<2${this.#plan.sizeBytes > 0x8000_0000 ? '>>>0' : ''})${plus}`;
      case 2:
        return `(${base}<<1)${plus}`;
      case 4:
        // As a 32-bit sum the index needs no overflow check, and its bounds check serves the log too.
        return plus === '' ? base : `(${base}${plus})|0`;
      case 8:
        return `(${base}>>1)${plus}`;
    }
  }

  #getter(field: FieldLayout, no: number, mode: 'record' | 'nested' | 'root', shift: number, view: number): string {
    const { kind } = field;
    if (kind.tag === 'optional' && !isView(kind)) {
      const flag = this.#place({ ...field, offset: field.offset + kind.flag }, '(this.$b||freed())', shift, mode, 1);
      return `if(B[${flag}]===0)return undefined;${this.#getter({ ...field, kind: kind.value }, no, mode, shift, view)}`;
    }
    const b = '(this.$b||freed())';
    const at = (unit: 1 | 2 | 4 | 8) => this.#place(field, b, shift, mode, unit);
    switch (kind.tag) {
      case 'u8':
        return `return B[${at(1)}]`;
      case 'i8':
        return `return C[${at(1)}]`;
      case 'u16':
        return `return H[${at(2)}]`;
      case 'i16':
        return `return J[${at(2)}]`;
      case 'u32':
        return `return U[${at(4)}]`;
      case 'i32':
        return `return I[${at(4)}]`;
      case 'f32':
        return `return S[${at(4)}]`;
      case 'f64':
      case 'int':
        return `return F[${at(8)}]`;
      case 'u64':
        return `return Q[${at(8)}]`;
      case 'i64':
        return `return R64[${at(8)}]`;
      case 'bool':
        return `return B[${at(1)}]!==0`;
      case 'oneOf':
        return `return ${this.constant(kind.names)}[${kind.bytes === 1 ? `B[${at(1)}]` : `H[${at(2)}]`}]`;
      case 'text':
        return kind.length === 0 ? `return getLongText(${at(4)})` : `return getText(${at(4)},${kind.length})`;
      case 'bytes':
        return kind.length === 0 ? `return getLongBytes(${at(4)})` : `return getBytes(${at(4)},${kind.length})`;
      case 'ref':
        return `const i=${at(4)},g=U[i+1];return g===0?undefined:${this.constant(this.#plan.refs.get(kind.pool))}.pool.resolve(U[i],g)`;
      default: {
        const stamp =
          mode === 'record' ? `b+${SLOT_STAMP}` : mode === 'nested' ? 'this.$s' : String(this.#plan.rootStamp);
        const made = `const b=${b},n=this.$n||(this.$n=[]),h=n[${view}]||(n[${view}]=makeView(${no},${this.#place(field, 'b', shift, mode, 4)},${stamp}${kind.tag === 'machine' ? ',this' : ''}))`;
        // What holds the view of an optional value is shown to nobody.
        if (kind.tag === 'optional') this.#holders.set(no, made);
        return `${made};return h${kind.tag === 'optional' ? '.value' : ''}`;
      }
    }
  }

  /** Text that throws unless `v` fits. */
  #check(kind: AnyKind, no: number, v: string): string {
    const bad = `bad(${no},${v});`;
    switch (kind.tag) {
      case 'u8':
        return `if((${v}&255)!==${v})${bad}`;
      case 'u16':
        return `if((${v}&65535)!==${v})${bad}`;
      case 'i8':
        return `if((${v}<<24>>24)!==${v})${bad}`;
      case 'i16':
        return `if((${v}<<16>>16)!==${v})${bad}`;
      case 'u32':
        return `if((${v}>>>0)!==${v})${bad}`;
      case 'i32':
        return `if((${v}|0)!==${v})${bad}`;
      case 'int':
        return `if(!isSafe(${v}))${bad}`;
      case 'f64':
        return `if(typeof ${v}!=='number')${bad}`;
      case 'f32':
        return `if(typeof ${v}!=='number'||!(abs(${v})<=${kind.max}))${bad}`;
      case 'bool':
        return `if(${v}!==true&&${v}!==false)${bad}`;
      case 'text':
        return kind.length === 0
          ? `if(typeof ${v}!=='string')${bad}`
          : `if(typeof ${v}!=='string'||${v}.length>${kind.length})${bad}`;
      case 'u64':
      case 'i64':
        return `if(typeof ${v}!=='bigint'||${v}<${kind.min}n||${v}>${kind.max}n)${bad}`;
      default:
        return bad;
    }
  }

  #setter(field: FieldLayout, no: number, mode: 'record' | 'nested' | 'root', shift: number, marker: string): string {
    const { kind } = field;
    const at = (unit: 1 | 2 | 4 | 8) => this.#place(field, 'b', shift, mode, unit);
    const word =
      mode === 'root'
        ? String(Math.floor((this.#plan.rootWord * 4 + field.offset) / 4))
        : `(b+${shift + Math.floor(field.offset / 4)})|0`;
    const enter = `if(this.$t!==now.t)${marker}(this);${mode === 'root' ? '' : 'const b=this.$b;'}`;
    const log = `const A=I,i=${word};${LOG_WORD}`;
    const check = this.#check(kind, no, 'v');
    switch (kind.tag) {
      case 'u8':
        return `${check}${enter}${log}B[${at(1)}]=v`;
      case 'i8':
        return `${check}${enter}${log}C[${at(1)}]=v`;
      case 'u16':
        return `${check}${enter}${log}H[${at(2)}]=v`;
      case 'i16':
        return `${check}${enter}${log}J[${at(2)}]=v`;
      case 'u32':
      case 'i32':
        return `${check}${enter}${log}A[i]=v`;
      case 'f32':
        return `${check}${enter}${log}S[i]=v`;
      case 'f64':
        return `${check}${enter}log2(${word});F[${at(8)}]=v`;
      case 'int':
        // Whole numbers have one zero.
        return `${check}${enter}log2(${word});F[${at(8)}]=v+0`;
      case 'u64':
        return `${check}${enter}log2(${word});Q[${at(8)}]=v`;
      case 'i64':
        return `${check}${enter}log2(${word});R64[${at(8)}]=v`;
      case 'bool':
        return `${check}${enter}${log}B[${at(1)}]=v?1:0`;
      case 'oneOf': {
        const index = this.constant(new Map(kind.names.map((name, k) => [name, k])));
        return `const n=${index}.get(v);if(n===undefined)bad(${no},v);${enter}${log}${kind.bytes === 1 ? `B[${at(1)}]` : `H[${at(2)}]`}=n`;
      }
      case 'text':
        return `${check}${enter}${kind.length === 0 ? 'setLongText' : 'setText'}(${at(4)},v)`;
      case 'bytes':
        return `${check}${enter}${kind.length === 0 ? 'setLongBytes' : 'setBytes'}(${at(4)},v)`;
      case 'ref':
        return `const r=refOf(${no},v);${enter}setRef(${at(4)},r)`;
      case 'optional':
        if (this.#holders.has(no)) return `${this.#holders.get(no)};assignView(${no},h,v)`;
        return `if(v!==undefined){${check}}${enter}setOptional(${no},${mode === 'root' ? this.#plan.rootWord : `b+${shift}`},v)`;
      default:
        return `${check}assignView(${no},this[${JSON.stringify(field.name)}],v)`;
    }
  }
}

/** Text that stamps a record of a pool, and the block of 64 slots that it is in, after a look at its fences: whoever wrote
 * beyond a record is found before more is written. Written out as it is, it is longer than what V8 inlines (460 bytes of
 * bytecode), and has to be: inlined it would use up the budget of the writes that it serves. */
function markerSource(index: number, pool: PoolCode, constant: (value: unknown) => string): string {
  const logged = (word: string, value: string) =>
    `{const i=${word},q=A[${LOG_POS}];if(q>lim)full(q);const R=L,k=q&M;R[k]=i;R[k+1]=A[i];A[${LOG_POS}]=(q+2)|0;A[i]=${value};}`;
  // A record of a pool that grows says its number itself; the directory has to lead back to it.
  const { grows } = pool;
  const at = grows === undefined ? '' : constant(grows.at);
  const look =
    grows === undefined
      ? `slot=((b-${pool.slots})/${pool.stride})|0,f=${FENCE}^slot;
if(A[b]!==f||A[(b+${pool.fence})|0]!==f)broken(${index},slot);`
      : `f=A[b],slot=(f^${FENCE})>>>0;
if(A[(b+${pool.fence})|0]!==f||slot>=U[${grows.high}]||${at}.base(slot)!==b)broken(${index},slot);`;
  const block = grows === undefined ? `${pool.blocks}+(slot>>>6)*2` : `${at}.block(slot)`;
  const body = `const A=I,lo=A[${STAMP_LO}],hi=A[${STAMP_HI}],${look}
${logged(`(b+${SLOT_STAMP})|0`, 'lo')}${logged(`(b+${SLOT_STAMP + 1})|0`, 'hi')}
const s=${block};
if(A[s]!==lo||A[s+1]!==hi){${logged('s', 'lo')}${logged('s+1', 'hi')}}`;
  return `
function mark${index}(b){${body}}
function view${index}(v){const b=v.$b;if(b===0)freed();${body}v.$t=now.t;}
`;
}

/** Compile the log and all view classes of a store.
 * @returns `fields`: what the numbers mean that the hooks are called with */
export function generate(
  plan: AccessorPlan,
  mem: Arrays,
  journal: Journal,
  hooks: Hooks,
): { code: Generated; fields: readonly NumberedField[] } {
  const writer = new Writer(plan);
  let classes = '';
  plan.pools.forEach((pool, k) => {
    classes += markerSource(k, pool, value => writer.constant(value));
    pool.layouts.forEach((layout, n) => {
      classes += writer.viewClass(`P${k}_${n}`, layout, 'record', `view${k}`);
    });
  });
  plan.nested.forEach((layout, k) => {
    classes += writer.viewClass(`N${k}`, layout, 'nested', 'viewPart');
  });
  classes += writer.viewClass('R0', plan.root, 'root', 'viewRoot');
  const list = (prefix: string, count: number) => Array.from({ length: count }, (_, k) => `${prefix}${k}`).join(',');
  // The number keeps V8 from sharing the compiled text with another store: shared, its context is no constant any more.
  const source = `'use strict';// store ${++stores}
${logSource(plan.log.words)}
function restamp(){now.t=(now.t+1)|0||1;}
function viewPart(v){touch(v.$s);v.$t=now.t;}
function viewRoot(v){touch(${plan.rootStamp});v.$t=now.t;}
${classes}
return{log:{begin,commit,state,setState,restamp,log,log2,write,writeF64,keep},pools:[${plan.pools.map((pool, k) => `[${list(`P${k}_`, pool.layouts.length)}]`).join(',')}],nested:[${list('N', plan.nested.length)}],root:R0,markers:[${list('mark', plan.pools.length)}]};
//# sourceURL=lich-state-${stores}.js
`;
  const hookNames = Object.keys(hooks) as (keyof Hooks)[];
  const take = (
    view: { prototype: object },
    names: readonly string[],
    own: PropertyDescriptor[],
    accessors: object,
  ): void => {
    const all = Object.getOwnPropertyDescriptors(accessors) as Record<string, PropertyDescriptor>;
    // Only instances have the fields: a printer that reads a prototype's getters would meet `this` without $b. What the
    // runtime added is on the prototype, where keys and copies do not see it.
    for (const name of names)
      own.push({ get: all[name]!.get, set: all[name]!.set, enumerable: true, configurable: false });
    for (const name of Object.keys(all)) {
      if (!names.includes(name)) Object.defineProperty(view.prototype, name, { ...all[name]!, enumerable: false });
    }
  };
  const hidden: PropertyDescriptor = { value: undefined, writable: true, enumerable: false, configurable: false };
  const hide = (view: object, name: string, value: unknown): void => {
    hidden.value = value;
    Object.defineProperty(view, name, hidden);
  };
  const { base, words } = plan.log;
  const given: Record<string, unknown> = {
    I: mem.i32,
    U: mem.u32,
    F: mem.f64,
    S: mem.f32,
    B: mem.u8,
    C: mem.i8,
    H: mem.u16,
    J: mem.i16,
    Q: mem.u64,
    R64: mem.i64,
    L: mem.i32.subarray(base, base + words),
    M: words - 1,
    journal,
    // Counts lines between stamps and rollbacks: a view whose $t is behind has its record stamped first.
    now: { t: 1 },
    isSafe: Number.isSafeInteger,
    abs: Math.abs,
    defineProperty: Object.defineProperty,
    hide,
    take,
  };
  const parameters = Object.keys(given);
  const values = Object.values(given);
  // oxlint-disable-next-line typescript/no-implied-eval -- all text is ours; names from a schema are JSON strings in it
  const make = new Function(...parameters, ...hookNames, ...writer.constants.map((_, k) => `$${k}`), source) as (
    ...args: unknown[]
  ) => {
    log: LogCore;
    pools: ViewClass[][];
    nested: ViewClass[];
    root: ViewClass;
    markers: ((base: number) => void)[];
  };
  const made = make(...values, ...hookNames.map(name => hooks[name]), ...writer.constants);
  return {
    code: { ...made, nested: new Map(plan.nested.map((layout, k) => [layout, made.nested[k]!])) },
    fields: writer.fields,
  };
}
