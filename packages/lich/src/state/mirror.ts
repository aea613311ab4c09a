// HOT: measured by benchmarks/reads
/** Mirror: private memory of a segment's size that holds what a reader from outside has copied, each word at its own
 * index, as of one commit. Whatever reads a segment (decode, check, views) reads a mirror the same way.
 *
 *   line      16 words. What is copied is copied in whole lines; `stamps` holds for each line the number of the copy that
 *             it belongs to. Memory is used only where lines are; `release` gives all of it back.
 *
 *   BEGIN     c0 = comPos
 *   BRING     copy the lines that are not there, as they stand in the segment
 *   SETTLE    p = logPos; the old words of the entries [c0, p) take the place of what was copied too late;
 *             valid if by then logPos - c0 stayed below the ring's size, less what is being written beyond it
 *
 *   ring      ─ ─ ┴ c0 │ e │ e │ e ┴ seen │ e │ e ┴ p ─ ─ ┴ logPos by now
 *
 * The first entry of a word after c0 has its value at c0, whatever was committed or rolled back since. The first SETTLE of
 * a snapshot walks the entries newest to oldest, so that the oldest wins, over the lines that are there. From the second
 * on, new entries [seen, p) are folded into the *overlay* (a table: word → value at c0) and lines are patched from it: a
 * walk of thousands of small steps reads each entry of the ring once, and may take longer than the ring lasts.
 *
 *   overlay   keys, values, folds; open addressing. An entry counts while its fold >= the first fold of this snapshot.
 *             Within a fold, older entries overwrite newer ones; an entry of an earlier fold is older, and stays.
 *
 * Order: relies on stores becoming visible in program order (x86-64): who sees a changed word sees logPos past its entry.
 * Pages that the owner has not reserved are not read (that would make them): they count as zero. */
import { addressRoom, native, type Segment } from '../shm/index.ts';
import { StateError } from './errors.ts';
import type { Arrays } from './memory.ts';
import { COM_POS, ENTRY_WORDS_MAX, LOG_POS } from './words.ts';

/** Thrown inside a snapshot to begin again, from a newer commit. */
export const LAPPED: unique symbol = Symbol('lapped');

/** Words of a line. */
export const LINE_WORDS = 16;
/** Time between two looks at logPos in which it cannot have wrapped. */
const LOOK_MS = 1_000;
/** Words changed since the commit of one snapshot, at most. */
const OVERLAY_MAX = 1 << 23;
/** Up to here a mirror is memory that the collector owns. */
const SMALL_BYTES = 1 << 22;
/** Ring words beyond logPos that may be overwritten already. */
const AHEAD = ENTRY_WORDS_MAX + 8;

/** What the generated code hands out; see its text. */
interface Core {
  begin(): void;
  /** @returns whether anything waits for `settle` */
  bring(from: number, to: number): boolean;
  settle(): number;
  /** No line is there any more. */
  renumber(): void;
  /** Numbers of copies begin anew; the stamps are zero. */
  restart(): void;
  /** Is it time for that? */
  late(): boolean;
  /** Lines that were brought since `renumber`. */
  lines(): number;
  /** Words in the overlay. */
  changed(): number;
  window(): number;
}

const SETTLED = 0;
const OVERRUN = 1;
const GARBLED = 2;
const CROWDED = 3;

/** What is left out of the protocol, to see that it is needed: for tests. @internal */
export interface MirrorFlaws {
  /** Copies are not undone. */
  readonly noUndo?: boolean;
  /** c0 is taken after the first copy. */
  readonly lateBegin?: boolean;
  /** logPos is taken before the copy. */
  readonly earlyLook?: boolean;
  /** A lap of the ring goes unnoticed. */
  readonly noLapCheck?: boolean;
  /** Newer entries win over those of earlier folds. */
  readonly newestWins?: boolean;
}

/** Flaws wait where it hurts, until the owner commits. */
const LINGER = `for(let x=0,c=load(I,${COM_POS});x<5e6&&load(I,${COM_POS})===c;x++);`;

/** In scope: I segment, M mirror, T stamps, L ring, K its mask, G granules that are known to be reserved, U8 segment. */
function coreSource(bitmap: number, ringWords: number, flaws: MirrorFlaws): string {
  return `
var copy=0,brought=0,n=0,R=new Int32Array(2048),c0=0,seen=0,p=0,first=true,most=${ringWords - AHEAD},window=0;
var bits=12,TK=new Int32Array(4096),TV=new Int32Array(4096),TF=new Int32Array(4096),order=new Int32Array(2048),size=0,fold=0,base=1;
const filter=new Int32Array(8192);
function begin(){
 if(fold>0x3fffffff){fold=0;TF.fill(0);filter.fill(0);}
 base=fold+1;size=0;n=0;first=true;copy=(copy+1)|0;window=0;
 c0=load(I,${COM_POS});seen=c0;}
function renumber(){copy=(copy+1)|0;brought=0;}
function restart(){copy=1;brought=0;}
function late(){return copy>0x3fffffff}
function lines(){return brought}
function changed(){return size}
function window_(){return window}
function reserved(g){if(((U8[${bitmap}+(g>>>3)]>>>(g&7))&1)===0)return false;G[g]=1;return true;}
function note(a,b){
 if(n>0&&R[2*n-1]===a){R[2*n-1]=b;return;}
 if(2*n===R.length){const more=new Int32Array(4*n);more.set(R);R=more;}
 R[2*n]=a;R[2*n+1]=b;n++;}
function bring(from,to){
 ${flaws.earlyLook ? `if(n===0){p=load(I,${LOG_POS});${LINGER}}` : ''}
 const end=(to+15)>>>4;let a=from>>>4;
 if(end-a>16)return bulk(a,end);
 for(;a<end;a++){
  if(T[a]===copy)continue;
  T[a]=copy;brought++;
  const k=a<<4;
  if(G[a>>>10]===0&&!reserved(a>>>10)){M.fill(0,k,k+16);continue;}
  for(let j=k;j<k+16;j++)M[j]=I[j];
  note(a,a+1);
 }
 return n>0;}
function bulk(a,end){
 while(a<end){
  if(T[a]===copy){a++;continue;}
  const stop=Math.min(end,((a>>>10)+1)<<10);
  let b=a;
  while(b<stop&&T[b]!==copy)T[b++]=copy;
  brought+=b-a;
  const k=a<<4,e=b<<4;
  if(G[a>>>10]===0&&!reserved(a>>>10))M.fill(0,k,e);
  else{if(b-a>12)M.set(I.subarray(k,e),k);else for(let j=k;j<e;j++)M[j]=I[j];note(a,b);}
  a=b;
 }
 return n>0;}
function undo(from,p){
 for(let q=(p-2)|0;((q-from)|0)>=0;q=(q-2)|0){
  const k=q&K,i=L[k];
  if(i>=0){if(T[i>>>4]===copy)M[i]=L[k+1];continue;}
  const count=L[k+1];
  if(count<0||count>${ENTRY_WORDS_MAX})return false;
  const w=i&0x7fffffff;
  q=(q-((count+1)&-2))|0;
  if(((q-from)|0)<0)return false;
  for(let j=0;j<count;j++)if(T[(w+j)>>>4]===copy)M[w+j]=L[(q+j)&K];
 }
 return true;}
function put(i,v){
 let h=Math.imul(i,0x9E3779B1)>>>(32-bits);
 for(const m=TK.length-1;;h=(h+1)&m){
  const f=TF[h];
  if(f<base){TF[h]=fold;TK[h]=i;TV[h]=v;order[size++]=h;filter[(i>>>4)&8191]=base;if(size*2>=TK.length)grow();return;}
  if(TK[h]===i){if(${flaws.newestWins ? 'true' : 'f===fold'})TV[h]=v;return;}
 }}
function grow(){
 const k=TK,v=TV,f=TF,o=order,was=size;
 bits++;TK=new Int32Array(1<<bits);TV=new Int32Array(1<<bits);TF=new Int32Array(1<<bits);order=new Int32Array(1<<(bits-1));size=0;
 const m=TK.length-1;
 for(let x=0;x<was;x++){
  const s=o[x];let h=Math.imul(k[s],0x9E3779B1)>>>(32-bits);
  while(TF[h]>=base)h=(h+1)&m;
  TK[h]=k[s];TV[h]=v[s];TF[h]=f[s];order[size++]=h;
 }}
function collect(from,p){
 fold++;
 for(let q=(p-2)|0;((q-from)|0)>=0;q=(q-2)|0){
  const k=q&K,i=L[k];
  if(i>=0){put(i,L[k+1]);continue;}
  const count=L[k+1];
  if(count<0||count>${ENTRY_WORDS_MAX})return false;
  const w=i&0x7fffffff;
  q=(q-((count+1)&-2))|0;
  if(((q-from)|0)<0)return false;
  for(let j=0;j<count;j++)put(w+j,L[(q+j)&K]);
 }
 return true;}
function patch(){
 if(size===0)return;
 const m=TK.length-1,kk=TK,vv=TV,ff=TF,s=32-bits;
 for(let x=0;x<n;x++){
  const a=R[2*x],b=R[2*x+1];
  if((b-a)*16>size){
   const from=a<<4,to=b<<4;
   for(let y=0;y<size;y++){const h=order[y],i=kk[h];if(i>=from&&i<to)M[i]=vv[h];}
   continue;
  }
  for(let line=a;line<b;line++){
   if(filter[line&8191]!==base)continue;
   for(let i=line<<4;i<(line<<4)+16;i++){
    for(let h=Math.imul(i,0x9E3779B1)>>>s;ff[h]>=base;h=(h+1)&m)if(kk[h]===i){M[i]=vv[h];break;}
   }
  }
 }}
function settle(){
 ${flaws.lateBegin ? `if(first){${LINGER}c0=load(I,${COM_POS});seen=c0;}` : ''}
 ${flaws.earlyLook ? '' : `p=load(I,${LOG_POS});`}
 const from=seen,d=(p-from)|0;
 if(d>window)window=d;
 ${flaws.noLapCheck ? '' : `if(d<0||d>most)return ${OVERRUN};`}
 let sound=true;
 ${flaws.noUndo ? '' : 'if(first){sound=undo(from,p);first=false;}else{if(d>0){sound=collect(from,p);seen=p;}if(sound)patch();}'}
 n=0;
 const now=load(I,${LOG_POS});
 ${flaws.noLapCheck ? '' : `if(((now-from)|0)>most||((now-from)|0)<0)return ${OVERRUN};`}
 if(!sound)return now===p?${GARBLED}:${OVERRUN};
 return size>${OVERLAY_MAX}?${CROWDED}:${SETTLED};}
return{begin,bring,settle,renumber,restart,late,lines,changed,window:window_};
`;
}

let mirrors = 0;

/** The memory of one reader of one segment. */
export class Mirror implements Arrays {
  readonly i8: Int8Array;
  readonly u8: Uint8Array;
  readonly i16: Int16Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly i64: BigInt64Array;
  readonly u64: BigUint64Array;
  readonly #segment: Segment;
  readonly #core: Core;
  readonly #stamps: Int32Array;
  readonly #words: number;
  #lookedMs = 0;
  #slow = false;
  #lapped = false;
  #open = false;

  /** @param ring word of the log's ring, and its size in words */
  constructor(segment: Segment, ring: number, ringWords: number, flaws: MirrorFlaws = {}) {
    this.#segment = segment;
    this.#words = segment.sizeBytes / 4;
    const room = (bytes: number) => (bytes <= SMALL_BYTES ? new ArrayBuffer(bytes) : addressRoom(bytes));
    const buffer = room(segment.sizeBytes);
    this.i8 = new Int8Array(buffer);
    this.u8 = new Uint8Array(buffer);
    this.i16 = new Int16Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    const lines = this.#words / LINE_WORDS;
    this.#stamps = new Int32Array(room(Math.ceil((lines * 4) / 65_536) * 65_536));
    // 64 KiB each; a segment that is no file has all of its pages.
    const bitmap = segment.regions.get('reserved');
    const granules = new Uint8Array(Math.ceil(lines / 1024)).fill(bitmap === undefined ? 1 : 0);
    const given: Record<string, unknown> = {
      I: segment.i32,
      U8: segment.u8,
      M: this.i32,
      T: this.#stamps,
      L: segment.i32.subarray(ring, ring + ringWords),
      K: ringWords - 1,
      G: granules,
      load: Atomics.load,
    };
    // The arrays are constants of a text of its own, as in accessors.ts: three times as fast as fields of an object.
    const source = `'use strict';// mirror ${++mirrors}\n${coreSource(bitmap?.offset ?? 0, ringWords, flaws)}\n//# sourceURL=lich-mirror-${mirrors}.js`;
    // oxlint-disable-next-line typescript/no-implied-eval -- all text is ours
    this.#core = new Function(...Object.keys(given), source)(...Object.values(given)) as Core;
  }

  /** Take the newest commit; nothing is there yet. */
  begin(): void {
    if (this.#core.late()) {
      this.#stamps.fill(0);
      this.#core.restart();
    }
    this.#lookedMs = performance.now();
    this.#slow = false;
    this.#lapped = false;
    this.#core.begin();
    this.#open = true;
  }

  /** From here on the mirror may not be read. */
  end(): void {
    this.#open = false;
  }

  /** Words are there, as of the commit. Lines that are there already cost a look.
   * @throws LAPPED; StateError `STATE_CORRUPT` for words outside the segment and for a log that cannot be read,
   * `STATE_SNAPSHOT`; TypeError outside a snapshot */
  need(word: number, count: number): void {
    if (this.bring(word, count)) this.settle();
  }

  /** Copy words that are not there. They are as of the commit after `settle`, and mean nothing before.
   * @returns whether there is something to settle */
  bring(word: number, count: number): boolean {
    if (!this.#open) throw new TypeError('a snapshot is read inside the function that it was given to');
    if (!(word >= 0 && count >= 0 && word + count <= this.#words)) {
      throw new StateError(
        'STATE_CORRUPT',
        `${this.#segment.name}: something leads to words ${word}..${word + count - 1} of ${this.#words}; run \`lich check\``,
        { severity: 'fatal' },
      );
    }
    return this.#core.bring(word, word + count);
  }

  /** Take what was brought to the commit. */
  settle(): void {
    const outcome = this.#core.settle();
    const now = performance.now();
    if (outcome === SETTLED && now - this.#lookedMs < LOOK_MS) {
      this.#lookedMs = now;
      return;
    }
    this.#slow = outcome === SETTLED;
    this.#refuse(outcome);
  }

  /** Bytes that are in use for lines, at most. */
  get usedBytes(): number {
    return this.#core.lines() * LINE_WORDS * 4;
  }

  /** Log words that the owner wrote between two looks of this snapshot, at most. */
  get window(): number {
    return this.#core.window();
  }

  /** Must this snapshot begin again? */
  get lapped(): boolean {
    return this.#lapped;
  }

  /** Was this snapshot given up because so much time passed between two looks that the log's position may have wrapped? */
  get slow(): boolean {
    return this.#slow;
  }

  /** Give the memory back: all of it is zero. What was brought is not there any more; the commit stays. */
  release(): void {
    if (this.i32.buffer instanceof SharedArrayBuffer) native().unmapOver(this.u8, this.u8.length);
    else this.i32.fill(0);
    this.#core.renumber();
  }

  #refuse(outcome: number): never {
    const { name } = this.#segment;
    if (outcome === GARBLED) {
      throw new StateError(
        'STATE_CORRUPT',
        `${name}: its undo log has entries that no Lich writes; take it out of service and restore it from a dump`,
        { severity: 'fatal' },
      );
    }
    if (outcome === CROWDED) {
      throw new StateError(
        'STATE_SNAPSHOT',
        `the owner of ${name} changed ${this.#core.changed()} words while this was read, ${OVERLAY_MAX} at most: read less in one snapshot`,
        { severity: 'warn' },
      );
    }
    this.#lapped = true;
    this.#open = false;
    throw LAPPED;
  }
}
