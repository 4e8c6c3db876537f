import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreAttentionAttrs, OwLoreAttentionGradAttrs} from '../llama_kernel_names';
import {addressOf, allocate, callKernel, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** How queries and keys lie in memory: bytes between two batches, heads, and positions. */
interface Layout {
  batch: number;
  keyHeads: number;
  /** Query heads of a key head. */
  group: number;
  length: number;
  width: number;
  queries: {batch: number; head: number; position: number};
  keys: {batch: number; head: number; position: number};
}

type Attended = 'q' | 'k' | 'v';

/** OwLoreAttention. Queries and keys are put out as they are projected; they are turned on the way. */
export function simdAttention(
  module: SimdModule,
  {inputs, backend, attrs}: KernelArgs<'x' | Attended | 'cos' | 'sin', OwLoreAttentionAttrs>,
): tf.TensorInfo[] {
  const {x, cos, sin} = inputs;
  const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((kernel) =>
    product(backend, x, kernel, false),
  ) as [tf.TensorInfo, tf.TensorInfo, tf.TensorInfo];
  const projected = {inputs: {q, k, v, cos, sin}, backend, attrs};
  return [attend(module, projected, tokensFirst(q, cos, attrs)), q, k, v];
}

/** OwLoreAttentionGrad. */
export function simdAttentionGrad(
  module: SimdModule,
  {
    inputs,
    backend,
    attrs,
  }: KernelArgs<
    'dy' | 'x' | Attended | 'cos' | 'sin' | 'queries' | 'keys' | 'values',
    OwLoreAttentionGradAttrs
  >,
): tf.TensorInfo[] {
  const {dy, x, cos, sin, queries, keys, values} = inputs;
  const projected = {inputs: {dy, q: queries, k: keys, v: values, cos, sin}, backend, attrs};
  const gradients = attendGradient(module, projected, tokensFirst(queries, cos, attrs));
  const dx = allocate(backend, x.shape);
  const [rows, hidden] = x.shape as [number, number];
  [inputs.q, inputs.k, inputs.v].forEach((kernel, i) => {
    const width = kernel.shape[1]!;
    const [a, b, c] = [gradients[i]!, kernel, dx].map((x) => addressOf(backend, x));
    const ofProjection = [a!, width * 4, false, b!, width * 4, true, c!, hidden * 4] as const;
    module.multiply(rows, hidden, width, ...ofProjection, i > 0);
  });
  const ofKernels = attrs.ofKernels ? gradients.map((d) => product(backend, x, d, true)) : [];
  for (const {dataId} of gradients) backend.disposeData(dataId);
  return [dx, ...ofKernels];
}

function product(
  backend: BackendWasm,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  transposeA: boolean,
): tf.TensorInfo {
  return callKernel(tf.BatchMatMul, backend, {a, b}, {transposeA, transposeB: false});
}

/** OwLoreCausalAttention. */
export function simdCausalAttention(
  module: SimdModule,
  args: KernelArgs<Attended, object>,
): tf.TensorInfo {
  return attend(module, args, headsFirst(args.inputs));
}

/** OwLoreCausalAttentionGrad. */
export function simdCausalAttentionGrad(
  module: SimdModule,
  args: KernelArgs<'dy' | Attended, object>,
): tf.TensorInfo[] {
  return attendGradient(module, args, headsFirst(args.inputs));
}

/** `q` `[batch · length, heads · width]`, and a table of the angles `[length, width / 2]`. */
function tokensFirst(
  q: tf.TensorInfo,
  cos: tf.TensorInfo,
  {heads, keyHeads}: OwLoreAttentionAttrs,
): Layout {
  const [length, half] = cos.shape as [number, number];
  const width = 2 * half;
  const stepsOf = (heads: number): Layout['queries'] => ({
    batch: length * heads * width * 4,
    head: width * 4,
    position: heads * width * 4,
  });
  const [queries, keys] = [stepsOf(heads), stepsOf(keyHeads)];
  const batch = q.shape[0]! / length;
  return {batch, keyHeads, group: heads / keyHeads, length, width, queries, keys};
}

/** `q` `[batch, group, length, width]`, `k` `[batch, length, width]`. */
function headsFirst({q}: Record<'q', tf.TensorInfo>): Layout {
  const [batch, group, length, width] = q.shape as [number, number, number, number];
  const head = length * width * 4;
  const position = width * 4;
  const queries = {batch: group * head, head, position};
  return {batch, keyHeads: 1, group, length, width, queries, keys: {batch: head, head, position}};
}

function attend(
  module: SimdModule,
  {inputs, backend}: KernelArgs<Attended, object, 'cos' | 'sin'>,
  layout: Layout,
): tf.TensorInfo {
  const y = allocate(backend, inputs.q.shape);
  const bytes = module.attentionBytes(layout.length, layout.width);
  withWorkspace(backend, bytes, (workspace) => {
    const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((x) => addressOf(backend, x));
    const table = tableOf(backend, inputs);
    const {group, length, width, queries, keys} = layout;
    forEachKeyHead(layout, (ofQueries, ofKeys) => {
      module.attend(
        ...([q! + ofQueries, k! + ofKeys, v! + ofKeys, ...table] as const),
        ...([group, length, width, queries.head, queries.position, keys.position] as const),
        addressOf(backend, y) + ofQueries,
        workspace,
      );
    });
  });
  return y;
}

function attendGradient(
  module: SimdModule,
  {inputs, backend}: KernelArgs<'dy' | Attended, object, 'cos' | 'sin'>,
  layout: Layout,
): tf.TensorInfo[] {
  const gradients = [inputs.q, inputs.k, inputs.v].map(({shape}) => allocate(backend, shape));
  const bytes = module.attentionGradientBytes(layout.length, layout.width);
  withWorkspace(backend, bytes, (workspace) => {
    const addresses = [inputs.dy, inputs.q, inputs.k, inputs.v, ...gradients];
    const [dy, q, k, v, dq, dk, dv] = addresses.map((x) => addressOf(backend, x));
    const table = tableOf(backend, inputs);
    const {group, length, width, queries, keys} = layout;
    forEachKeyHead(layout, (ofQueries, ofKeys) => {
      module.attendGradient(
        ...([dy! + ofQueries, q! + ofQueries, k! + ofKeys, v! + ofKeys, ...table] as const),
        ...([group, length, width, queries.head, queries.position, keys.position] as const),
        ...([dq! + ofQueries, dk! + ofKeys, dv! + ofKeys, workspace] as const),
      );
    });
  });
  return gradients;
}

/** Addresses of cosines and sines, 0 for none. */
function tableOf(
  backend: BackendWasm,
  {cos, sin}: Partial<Record<'cos' | 'sin', tf.TensorInfo>>,
): [cos: number, sin: number] {
  return [cos ? addressOf(backend, cos) : 0, sin ? addressOf(backend, sin) : 0];
}

/** Calls `f` with the bytes from the start of the queries, and from that of the keys. */
function forEachKeyHead(
  {batch, keyHeads, group, queries, keys}: Layout,
  f: (ofQueries: number, ofKeys: number) => void,
): void {
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < keyHeads; head++) {
      f(b * queries.batch + head * group * queries.head, b * keys.batch + head * keys.head);
    }
  }
}

/** Calls `use` with the address of memory, which is free again afterwards. */
function withWorkspace(backend: BackendWasm, bytes: number, use: (address: number) => void): void {
  const memory = allocate(backend, [bytes / 4]);
  use(addressOf(backend, memory));
  backend.disposeData(memory.dataId);
}
