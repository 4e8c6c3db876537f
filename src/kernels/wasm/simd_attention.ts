import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreAttentionAttrs, OwLoreAttentionGradAttrs} from '../llama/kernel_names';
import {addressOf, allocate, callKernel, withWorkspace, type KernelArgs} from './kernel';
import {callEach, threadsOf} from './parallel';
import type {SimdModule} from './simd_module';

/** How queries and keys lie in memory. */
interface Layout {
  batch: number;
  keyHeads: number;
  /** Query heads of a key head. */
  group: number;
  length: number;
  width: number;
  /** Keys that a query sees at most. */
  window: number;
  /** Bytes from one position to the next. */
  queryStep: number;
  keyStep: number;
}

type Projected = 'q' | 'k' | 'v';

type Bias = 'qBias' | 'kBias' | 'vBias';

type Angles = 'cos' | 'sin';

/** OwLoreAttention. Queries and keys are returned as projected, before they are rotated. */
export function simdAttention(
  module: SimdModule,
  {inputs, backend, attrs}: KernelArgs<'x' | Projected | Angles, OwLoreAttentionAttrs, Bias>,
): tf.TensorInfo[] {
  const {x, cos, sin} = inputs;
  const biases = [inputs.qBias, inputs.kBias, inputs.vBias];
  const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((kernel, i) => {
    const projected = product(backend, x, kernel, false);
    const bias = biases[i];
    if (bias) addBias(module, backend, projected, bias);
    return projected;
  }) as [tf.TensorInfo, tf.TensorInfo, tf.TensorInfo];
  return [attend(module, {inputs: {q, k, v, cos, sin}, backend, attrs}), q, k, v];
}

/** OwLoreAttentionGrad. */
export function simdAttentionGrad(
  module: SimdModule,
  {
    inputs,
    backend,
    attrs,
  }: KernelArgs<
    'dy' | 'x' | Projected | Angles | 'queries' | 'keys' | 'values',
    OwLoreAttentionGradAttrs,
    Bias
  >,
): tf.TensorInfo[] {
  const {dy, x, cos, sin, queries, keys, values} = inputs;
  const projected = {inputs: {dy, q: queries, k: keys, v: values, cos, sin}, backend, attrs};
  const gradients = attendGradient(module, projected);
  const dx = allocate(backend, x.shape);
  const [rows, hidden] = x.shape as [number, number];
  [inputs.q, inputs.k, inputs.v].forEach((kernel, i) => {
    const width = kernel.shape[1]!;
    const [a, b, c] = [gradients[i]!, kernel, dx].map((x) => addressOf(backend, x));
    module.multiply({
      rows,
      columns: hidden,
      inner: width,
      a: a!,
      aStep: width * 4,
      transposeA: false,
      b: b!,
      bStep: width * 4,
      transposeB: true,
      c: c!,
      cStep: hidden * 4,
      add: i > 0,
    });
  });
  const {withKernelGradients} = attrs;
  const dKernels = withKernelGradients ? gradients.map((d) => product(backend, x, d, true)) : [];
  const dBiases =
    withKernelGradients && inputs.qBias ? gradients.map((d) => sumRows(module, backend, d)) : [];
  for (const {dataId} of gradients) backend.disposeData(dataId);
  return [dx, ...dKernels, ...dBiases];
}

/** Adds `bias` `[columns]` to the rows of `x` `[rows, columns]`, in place. */
function addBias(
  module: SimdModule,
  backend: BackendWasm,
  x: tf.TensorInfo,
  bias: tf.TensorInfo,
): void {
  const [rows, columns] = x.shape as [number, number];
  module.addBias({
    x: addressOf(backend, x),
    rows,
    columns,
    bias: addressOf(backend, bias),
    lower: -Infinity,
    upper: Infinity,
  });
}

/** The sums `[columns]` of the rows of `x` `[rows, columns]`. */
function sumRows(module: SimdModule, backend: BackendWasm, x: tf.TensorInfo): tf.TensorInfo {
  const [rows, columns] = x.shape as [number, number];
  const sums = allocate(backend, [columns]);
  const given = {x: addressOf(backend, x), rows, columns, step: 4 * columns};
  module.sumRows({...given, sums: addressOf(backend, sums)});
  return sums;
}

function product(
  backend: BackendWasm,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  transposeA: boolean,
): tf.TensorInfo {
  return callKernel(tf.BatchMatMul, backend, {a, b}, {transposeA, transposeB: false});
}

/** `q` `[batch · length, heads · width]`, `cos` `[length, width / 2]`. */
function layoutOf(
  {q, cos}: Record<'q' | 'cos', tf.TensorInfo>,
  {heads, keyHeads, window = Infinity}: OwLoreAttentionAttrs,
): Layout {
  const [length, half] = cos.shape as [number, number];
  const width = 2 * half;
  const steps = {queryStep: heads * width * 4, keyStep: keyHeads * width * 4};
  const sizes = {length, width, window: Math.min(window, length)};
  return {batch: q.shape[0]! / length, keyHeads, group: heads / keyHeads, ...sizes, ...steps};
}

function attend(
  module: SimdModule,
  {inputs, backend, attrs}: KernelArgs<Projected | Angles, OwLoreAttentionAttrs>,
): tf.TensorInfo {
  const layout = layoutOf(inputs, attrs);
  const {group, length, width, window, queryStep: qStep, keyStep: kStep} = layout;
  const result = allocate(backend, inputs.q.shape);
  const bytes = module.attentionBytes({length, width, window});
  withWorkspace(backend, threadsOf(module) * bytes, (workspace) => {
    const tensors = [inputs.q, inputs.k, inputs.v, inputs.cos, inputs.sin, result];
    const [q, k, v, cos, sin, y] = tensors.map((x) => addressOf(backend, x));
    const all = {
      q: q!,
      k: k!,
      v: v!,
      cos: cos!,
      sin: sin!,
      y: y!,
      workspace,
      group,
      length,
      width,
      window,
      qStep,
      kStep,
    };
    const calls = keyHeadsOf(layout).map(([queryOffset, keyOffset]) => ({
      q: q! + queryOffset,
      k: k! + keyOffset,
      v: v! + keyOffset,
      y: y! + queryOffset,
    }));
    const own = {argument: 'workspace', bytes};
    callEach(module, 'attend', all, calls, productsOf(layout), own);
  });
  return result;
}

function attendGradient(
  module: SimdModule,
  {inputs, backend, attrs}: KernelArgs<'dy' | Projected | Angles, OwLoreAttentionAttrs>,
): tf.TensorInfo[] {
  const layout = layoutOf(inputs, attrs);
  const {group, length, width, window, queryStep: qStep, keyStep: kStep} = layout;
  const gradients = [inputs.q, inputs.k, inputs.v].map(({shape}) => allocate(backend, shape));
  const bytes = module.attentionGradientBytes({length, width, window});
  withWorkspace(backend, threadsOf(module) * bytes, (workspace) => {
    const given = [inputs.dy, inputs.q, inputs.k, inputs.v, inputs.cos, inputs.sin];
    const addresses = [...given, ...gradients].map((x) => addressOf(backend, x));
    const [dy, q, k, v, cos, sin, dq, dk, dv] = addresses;
    const all = {
      dy: dy!,
      q: q!,
      k: k!,
      v: v!,
      cos: cos!,
      sin: sin!,
      dq: dq!,
      dk: dk!,
      dv: dv!,
      workspace,
      group,
      length,
      width,
      window,
      qStep,
      kStep,
    };
    const calls = keyHeadsOf(layout).map(([queryOffset, keyOffset]) => ({
      dy: dy! + queryOffset,
      q: q! + queryOffset,
      dq: dq! + queryOffset,
      k: k! + keyOffset,
      v: v! + keyOffset,
      dk: dk! + keyOffset,
      dv: dv! + keyOffset,
    }));
    const own = {argument: 'workspace', bytes};
    callEach(module, 'attendGradient', all, calls, productsOf(layout), own);
  });
  return gradients;
}

/** For each key head its offset in bytes in the queries, and in the keys. */
function keyHeadsOf({
  batch,
  keyHeads,
  group,
  length,
  width,
  queryStep,
  keyStep,
}: Layout): Array<[queryOffset: number, keyOffset: number]> {
  const headBytes = width * 4;
  return Array.from({length: batch * keyHeads}, (_, i) => {
    const [b, head] = [Math.floor(i / keyHeads), i % keyHeads];
    return [
      b * length * queryStep + head * group * headBytes,
      b * length * keyStep + head * headBytes,
    ];
  });
}

/** About how many numbers are multiplied. */
function productsOf({batch, keyHeads, group, length, width, window}: Layout): number {
  return batch * keyHeads * group * length * window * width;
}
