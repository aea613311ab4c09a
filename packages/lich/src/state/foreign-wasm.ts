/** A WASM module whose memory is the segment. The module is an ordinary one, compiled as for a dynamic linker
 * (`-fPIC`, `wasm-ld -shared`): it then says in its section `dylink.0` how much static data it has, and takes the place of
 * it, and of its stack, from outside. Both are blocks of the heap; its malloc is `foreign`.
 *
 * Where things are:
 *   what it took with malloc   heap, for good: lives on over kills, found again by `root`
 *   static data                heap, one block, written anew at each instantiation: no state may be in it
 *   stack                      heap, one block, means nothing between two calls
 *   globals, table             the process, gone with it; places in the table are the same in each life of one build */
import { memoryOf } from '../shm/index.ts';
import { StateError } from './errors.ts';
import type { Foreign, ForeignMemory } from './foreign.ts';

/** What TypeScript's own library lacks without the DOM. */
interface WasmGlobal {
  value: number;
}
declare const WebAssembly: {
  Module: {
    new (bytes: Uint8Array): object;
    customSections(module: object, name: string): ArrayBuffer[];
    imports(module: object): { module: string; name: string; kind: string }[];
  };
  Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { exports: Record<string, unknown> };
  Global: new (type: { value: 'i32'; mutable: boolean }, value: number) => WasmGlobal;
  Table: new (type: { element: 'anyfunc'; initial: number }) => object;
};

// oxlint-disable-next-line typescript/no-explicit-any -- what a module exports is its own
export type ForeignExports = Readonly<Record<string, (...values: any[]) => any>>;

export interface ForeignModuleOptions {
  /** Bytes of its stack. Default 64 KiB. */
  readonly stackBytes?: number;
  /** What it imports from `env` besides memory, malloc, calloc, realloc and free. */
  readonly imports?: Readonly<Record<string, unknown>>;
}

const STACK_BYTES = 65_536;
const ALIGN = 16;

/** Instantiate a module over the segment of `memory`: in a transaction, once in each life of a process. When that is
 * rolled back, throw the module away.
 * @param wasm its bytes; an imported memory that is not marked as shared gets that mark
 * @returns its functions. One that throws leaves the module's stack as it was before the call.
 * @throws StateError `STATE_UNSUPPORTED` for a module that is not position-independent, or a segment that is not mapped */
export function foreignModule(memory: Foreign, wasm: Uint8Array, options: ForeignModuleOptions = {}): ForeignExports {
  const { stackBytes = STACK_BYTES, imports = {} } = options;
  const own = memory as ForeignMemory;
  const { log, segment } = own.store;
  const room = memoryOf(segment.buffer);
  if (room === undefined)
    throw new StateError('STATE_UNSUPPORTED', 'this segment is not mapped: no WASM module can work on it');
  const module = new WebAssembly.Module(sharedImport(wasm));
  const needs = dylinkOf(module, own.name);

  own.statics = block(own, own.statics, needs.memoryBytes + ALIGN);
  own.stack = block(own, own.stack, stackBytes + ALIGN);
  log.keep(own.statics / 4, Math.ceil(own.bytesOf(own.statics) / 4));
  segment.u8.fill(0, own.statics, own.statics + own.bytesOf(own.statics));

  const stack = new WebAssembly.Global({ value: 'i32', mutable: true }, (own.stack + stackBytes + ALIGN) & -ALIGN);
  // Slot 0 is the null pointer.
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: needs.tableSlots + 1 });
  const constant = (value: number) => new WebAssembly.Global({ value: 'i32', mutable: false }, value);
  const { exports } = new WebAssembly.Instance(module, {
    env: {
      memory: room,
      __indirect_function_table: table,
      __stack_pointer: stack,
      __memory_base: constant((own.statics + ALIGN - 1) & -ALIGN),
      __table_base: constant(1),
      malloc: (bytes: number) => own.malloc(bytes >>> 0),
      calloc: (count: number, bytes: number) => own.calloc(count >>> 0, bytes >>> 0),
      realloc: (address: number, bytes: number) => own.realloc(address >>> 0, bytes >>> 0),
      free: (address: number) => own.free(address >>> 0),
      ...imports,
    },
  });
  const functions: Record<string, (...values: unknown[]) => unknown> = {};
  for (const [name, value] of Object.entries(exports)) {
    if (typeof value !== 'function') continue;
    functions[name] = (...values) => {
      const before = stack.value;
      try {
        return (value as (...values: unknown[]) => unknown)(...values);
      } catch (error) {
        stack.value = before;
        throw error;
      }
    };
  }
  functions['__wasm_apply_data_relocs']?.();
  functions['__wasm_call_ctors']?.();
  return functions;
}

/** A block of this size: the one it had, or a new one. */
function block(own: ForeignMemory, address: number, bytes: number): number {
  if (address !== 0 && own.bytesOf(address) === bytes) return address;
  own.free(address);
  return own.malloc(bytes);
}

/** What the section `dylink.0` asks for: WASM_DYLINK_MEM_INFO, of the tool conventions for dynamic linking. */
function dylinkOf(module: object, name: string): { memoryBytes: number; tableSlots: number } {
  const [section] = WebAssembly.Module.customSections(module, 'dylink.0');
  if (section !== undefined) {
    const reader = new Reader(new Uint8Array(section), 0);
    while (reader.at < reader.bytes.length) {
      const type = reader.byte();
      const end = reader.number() + reader.at;
      if (type === 1) {
        const memoryBytes = reader.number();
        const align = reader.number();
        const tableSlots = reader.number();
        if (1 << align <= ALIGN) return { memoryBytes, tableSlots };
        break;
      }
      reader.at = end;
    }
  }
  throw new StateError(
    'STATE_UNSUPPORTED',
    `the module of \`${name}\` has fixed places for its data, or wants more than ${ALIGN} bytes of alignment: compile it with -fPIC and wasm-ld -shared`,
  );
}

class Reader {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.bytes[this.at++]!;
  }

  /** LEB128. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  skip(): void {
    const bytes = this.number();
    this.at += bytes;
  }
}

const IMPORTS = 2;
const MEMORY = 2;
const HAS_MAXIMUM = 1;
const SHARED = 2;
/** 4 GiB: the segment's memory is checked against it, and has less. */
const PAGES_MAX = 65_536;

/** The module with its memory import marked as shared. The instructions are the same for both kinds. */
function sharedImport(wasm: Uint8Array): Uint8Array {
  const reader = new Reader(wasm, 8);
  while (reader.at < wasm.length) {
    const start = reader.at;
    const section = reader.byte();
    const end = reader.number() + reader.at;
    if (section !== IMPORTS) {
      reader.at = end;
      continue;
    }
    const content = reader.at;
    for (let count = reader.number(); count > 0; count--) {
      reader.skip();
      reader.skip();
      const kind = reader.byte();
      if (kind === 0) reader.number();
      else if (kind === 1) {
        reader.byte();
        if ((reader.byte() & HAS_MAXIMUM) !== 0) reader.number();
        reader.number();
      } else if (kind === 3) reader.at += 2;
      else if (kind === MEMORY) {
        const from = reader.at;
        const flags = reader.byte();
        if ((flags & SHARED) !== 0) return wasm;
        const pages = reader.number();
        if ((flags & HAS_MAXIMUM) !== 0) reader.number();
        const limits = [SHARED | HAS_MAXIMUM, ...leb(pages), ...leb(PAGES_MAX)];
        const body = [...wasm.subarray(content, from), ...limits, ...wasm.subarray(reader.at, end)];
        return Uint8Array.from([
          ...wasm.subarray(0, start),
          IMPORTS,
          ...leb(body.length),
          ...body,
          ...wasm.subarray(end),
        ]);
      } else throw new StateError('STATE_UNSUPPORTED', `a WASM import of kind ${kind} is not known`);
    }
    reader.at = end;
  }
  return wasm;
}

function leb(value: number): number[] {
  const out: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) out.push((value & 0x7f) | 0x80);
  out.push(value);
  return out;
}
