import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreDecodeBlockAttrs, OwLoreDecodeBlocksAttrs} from '../llama/kernel_names';
import {numberedName} from '../numbered_name';
import {addressOf, allocate, withWorkspace, type KernelArgs} from './kernel';
import {multiplyEach, threadsOf} from './parallel';
import type {SimdModule} from './simd_module';

/** Of each block. */
const ownInputs = [
  ...(['norm', 'q', 'k', 'v', 'o', 'qBias', 'kBias', 'vBias'] as const),
  ...(['mlpNorm', 'gate', 'up', 'down'] as const),
  ...(['keys', 'values', 'recentKeys', 'recentValues'] as const),
];
type OptionalOwnInputs = 'qBias' | 'kBias' | 'vBias';
type OwnInputs = Exclude<(typeof ownInputs)[number], OptionalOwnInputs>;
type SharedInputs = 'cos' | 'sin';

type Inputs = KernelArgs<
  OwnInputs | SharedInputs,
  OwLoreDecodeBlockAttrs,
  OptionalOwnInputs | 'padding'
>['inputs'];

/** A weight `[inner, columns]` of a block, and where its product goes. */
interface Weight {
  weight: tf.TensorInfo;
  columns: number;
  c: number;
  add?: boolean;
  bias?: tf.TensorInfo;
}

/** OwLoreDecodeBlock. */
export function simdDecodeBlock(
  module: SimdModule,
  {
    inputs,
    backend,
    attrs,
  }: KernelArgs<
    'x' | OwnInputs | SharedInputs,
    OwLoreDecodeBlockAttrs,
    OptionalOwnInputs | 'padding'
  >,
): tf.TensorInfo[] {
  const y = copied(module, backend, inputs.x);
  return [y, ...decodeInPlace(module, backend, y, inputs, attrs)];
}

/** OwLoreDecodeBlocks. */
export function simdDecodeBlocks(
  module: SimdModule,
  {inputs, backend, attrs}: KernelArgs<'x' | SharedInputs, OwLoreDecodeBlocksAttrs, 'padding'>,
): tf.TensorInfo[] {
  const {x, cos, sin, padding} = inputs;
  const y = copied(module, backend, x);
  const results = [y];
  for (let i = 0; i < attrs.blocks; i++) {
    const own: Record<string, tf.TensorInfo> = {cos, sin};
    if (padding) own['padding'] = padding;
    for (const name of ownInputs) {
      const input = (inputs as Record<string, tf.TensorInfo>)[numberedName(name, i)];
      if (input) own[name] = input;
    }
    results.push(...decodeInPlace(module, backend, y, own as Inputs, attrs));
  }
  return results;
}

function copied(module: SimdModule, backend: BackendWasm, x: tf.TensorInfo): tf.TensorInfo {
  const y = allocate(backend, x.shape);
  const size = tf.util.sizeFromShape(x.shape);
  module.copy({from: addressOf(backend, x), size, to: addressOf(backend, y)});
  return y;
}

/** A block, by a sequence of the module's functions without tensors in between, in the place of its input `y`; returns its recent keys and values. */
function decodeInPlace(
  module: SimdModule,
  backend: BackendWasm,
  y: tf.TensorInfo,
  inputs: Inputs,
  attrs: OwLoreDecodeBlockAttrs,
): tf.TensorInfo[] {
  const {keys, recentKeys, padding} = inputs;
  const {heads, keyHeads, intermediate, epsilon} = attrs;
  const [rows, , positions, width] = keys.shape as [number, number, number, number];
  const recent = recentKeys.shape[2]!;
  const hidden = y.shape.at(-1)!;
  const [queries, keyWidth, group] = [heads * width, keyHeads * width, heads / keyHeads];

  const results = [0, 1].map(() => allocate(backend, [rows, keyHeads, recent + 1, width]));
  const at = (tensor: tf.TensorInfo): number => addressOf(backend, tensor);
  const to = at(y);

  /** `c = a · weight`, or `c += a · weight`, for each weight `[inner, columns]`, and the bias if there is one. */
  const multiply = (a: number, inner: number, factors: readonly Weight[]): void => {
    multiplyEach(
      module,
      {rows, inner, a},
      factors.map(({weight, columns, c, add = false}) => {
        const isBfloat16 = weight.dtype === 'int32';
        const [b, bStep] = [at(weight), columns * (isBfloat16 ? 2 : 4)];
        return {columns, b, bStep, isBfloat16, c, cStep: columns * 4, add};
      }),
    );
    for (const {bias, columns, c} of factors) {
      if (bias) module.addBias({x: c, rows, columns, bias: at(bias), lower: -Infinity, upper: Infinity}); // prettier-ignore
    }
  };
  /** The norm of the rows of `y` as they are by then. */
  const normalize = (weight: tf.TensorInfo, normalized: number): void => {
    module.rmsNorm({x: to, weight: at(weight), rows, width: hidden, epsilon, y: normalized});
  };

  const mlpSizes = [intermediate, intermediate, intermediate];
  const sizes = [hidden, queries, keyWidth, keyWidth, queries, ...mlpSizes];
  const headBytes =
    threadsOf(module) * module.attendLastBytes({group, width, keys: positions + recent + 1});
  const bytes = headBytes + 4 * rows * sizes.reduce((sum, size) => sum + size, 0);
  withWorkspace(backend, bytes, (workspace) => {
    let next = workspace + headBytes;
    const [normalized, q, k, v, mixed, gate, up, gated] = sizes.map((size) => {
      const address = next;
      next += 4 * rows * size;
      return address;
    }) as [number, number, number, number, number, number, number, number];

    normalize(inputs.norm, normalized);
    multiply(normalized, hidden, [
      {weight: inputs.q, columns: queries, c: q, bias: inputs.qBias},
      {weight: inputs.k, columns: keyWidth, c: k, bias: inputs.kBias},
      {weight: inputs.v, columns: keyWidth, c: v, bias: inputs.vBias},
    ]);
    module.attendLast({
      rows,
      keyHeads,
      group,
      width,
      q,
      k,
      v,
      cos: at(inputs.cos),
      sin: at(inputs.sin),
      tableStep: inputs.cos.shape[0] === 1 ? 0 : width * 2,
      keys: at(keys),
      values: at(inputs.values),
      positions,
      padding: padding ? at(padding) : 0,
      recentKeys: at(recentKeys),
      recentValues: at(inputs.recentValues),
      recent,
      newKeys: at(results[0]!),
      newValues: at(results[1]!),
      y: mixed,
      workspace,
    });
    multiply(mixed, queries, [{weight: inputs.o, columns: hidden, c: to, add: true}]);

    normalize(inputs.mlpNorm, normalized);
    multiply(normalized, hidden, [
      {weight: inputs.gate, columns: intermediate, c: gate},
      {weight: inputs.up, columns: intermediate, c: up},
    ]);
    module.swiglu({gate, up, size: rows * intermediate, y: gated});
    multiply(gated, intermediate, [{weight: inputs.down, columns: hidden, c: to, add: true}]);
  });
  return results;
}
