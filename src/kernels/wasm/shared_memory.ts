/**
 * Has tfjs's wasm backend made over a memory that workers can share. Its binary differs by one bit from one that asks for such a
 * memory, but no option of the backend does that: `WebAssembly.instantiate` is replaced until the backend is there.
 */
import {readSections, SECTION} from './sections';
import {canShareMemory, threadCount} from './thread_count';

/** The bit in a memory's flags that says that it is shared (threads proposal). */
const SHARED = 2;

/** What tfjs's binary exports, and no other one that is known. */
const OF_TFJS = ['register_tensor', 'init_with_threads_count'];

/** A module that copies within a memory: `copy(to, from, bytes)`. JavaScript's `copyWithin` is up to ten times slower on a shared one. */
// prettier-ignore
const COPY = Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  1, 7, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0, // the type of three i32
  2, 11, 1, 1, 0x6d, 1, 0x6d, 2, 3, 1, 0x80, 0x80, 4, // imports m.m, a shared memory of 1 to 65536 pages
  3, 2, 1, 0,
  7, 5, 1, 1, 0x63, 0, 0, // exports it as c
  10, 14, 1, 12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 10, 0, 0, 11, // memory.copy
);

type Copy = (to: number, from: number, bytes: number) => void;

/** What a module made by Emscripten imports, as far as it matters here. */
interface EmscriptenImports {
  env: {emscripten_resize_heap: unknown; emscripten_memcpy_big: Copy};
}

type Instantiate = (
  source: BufferSource,
  imports: WebAssembly.Imports,
) => Promise<WebAssembly.WebAssemblyInstantiatedSource>;

let refusal: string | null = null;

/** Why the memory of the backend that was made last is not shared, although it might have been; null if nothing was in the way. */
export function sharingRefusal(): string | null {
  return refusal;
}

/** Puts back what {@link shareMemory} has replaced; null if nothing is replaced. */
let putBack: (() => void) | null = null;

/**
 * From now on, until {@link stopSharing}, the binary of tfjs's wasm backend gets a shared memory where kernels may use threads; any other
 * module passes as it is.
 */
export function shareMemory(): void {
  if (putBack || !canShareMemory()) return;
  const {instantiate, instantiateStreaming} = WebAssembly;
  const stock = instantiate as unknown as Instantiate;
  const own: Instantiate = async (source, imports) => {
    const bytes = isOfEmscripten(imports) && threadCount() > 1 ? sharing(source) : null;
    if (!bytes) return stock(source, imports);
    try {
      return await instantiateShared(stock, bytes, imports);
    } catch (error) {
      // a shared memory reserves all addresses that it may have
      refusal = `no shared memory of 4 GB of addresses (${(error as Error).message})`;
      return stock(source, imports);
    }
  };
  const streaming = async (
    response: Response | PromiseLike<Response>,
    imports: WebAssembly.Imports,
  ): Promise<WebAssembly.WebAssemblyInstantiatedSource> =>
    isOfEmscripten(imports)
      ? own(await (await response).arrayBuffer(), imports)
      : instantiateStreaming(response, imports);
  Object.assign(WebAssembly, {instantiate: own});
  if (instantiateStreaming as unknown)
    Object.assign(WebAssembly, {instantiateStreaming: streaming});
  putBack = () => {
    if ((WebAssembly.instantiate as unknown) === own) Object.assign(WebAssembly, {instantiate});
    if (WebAssembly.instantiateStreaming === streaming)
      Object.assign(WebAssembly, {instantiateStreaming});
  };
}

/** The backend is there: `WebAssembly` is as it was again. */
export function stopSharing(): void {
  putBack?.();
  putBack = null;
}

function isOfEmscripten(imports: unknown): boolean {
  return typeof (imports as Partial<EmscriptenImports> | undefined)?.env?.emscripten_resize_heap === 'function'; // prettier-ignore
}

async function instantiateShared(
  instantiate: Instantiate,
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.Imports,
): Promise<WebAssembly.WebAssemblyInstantiatedSource> {
  const {env} = imports as unknown as EmscriptenImports;
  let copy = env.emscripten_memcpy_big;
  const shared = {...imports, env: {...env, emscripten_memcpy_big: ((...args) => copy(...args)) as Copy}}; // prettier-ignore
  const made = await instantiate(bytes, shared as unknown as WebAssembly.Imports);
  const {memory} = made.instance.exports;
  const copier = new WebAssembly.Instance(new WebAssembly.Module(COPY), {m: {m: memory!}});
  copy = copier.exports['c'] as Copy;
  return made;
}

/** A copy of tfjs's binary whose memory is shared; null for any other module, or one that imports its memory. */
function sharing(source: BufferSource | WebAssembly.Module): Uint8Array<ArrayBuffer> | null {
  if (source instanceof WebAssembly.Module) return null;
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice()
    : new Uint8Array(source).slice();
  const sections = new Map(readSections(bytes).map(({id, start, end}) => [id, {start, end}]));
  const [memory, exported] = [sections.get(SECTION.memory), sections.get(SECTION.export)];
  if (!memory || !exported) return null;
  const names = String.fromCharCode(...bytes.subarray(exported.start, exported.end));
  if (!OF_TFJS.every((name) => names.includes(name))) return null;
  bytes[memory.start + 1]! |= SHARED; // after the number of memories, which is 1
  return bytes;
}
