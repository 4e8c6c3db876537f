import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreDecodeBlockAttrs} from '../llama_kernel_names';
import {addressOf, allocate, withWorkspace, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

type Inputs =
  | 'x'
  | ('norm' | 'q' | 'k' | 'v' | 'o' | 'mlpNorm' | 'gate' | 'up' | 'down')
  | ('cos' | 'sin' | 'keys' | 'values' | 'recentKeys' | 'recentValues');

type OptionalInputs = 'qBias' | 'kBias' | 'vBias' | 'padding';

/** OwLoreDecodeBlock: a sequence of the module's functions, without tensors in between. */
export function simdDecodeBlock(
  module: SimdModule,
  {inputs, backend, attrs}: KernelArgs<Inputs, OwLoreDecodeBlockAttrs, OptionalInputs>,
): tf.TensorInfo[] {
  const {x, keys, recentKeys, padding} = inputs;
  const {heads, keyHeads, intermediate, epsilon} = attrs;
  const [rows, , positions, width] = keys.shape as [number, number, number, number];
  const recent = recentKeys.shape[2]!;
  const hidden = x.shape.at(-1)!;
  const [queries, ofKeys, group] = [heads * width, keyHeads * width, heads / keyHeads];

  const y = allocate(backend, x.shape);
  const results = [0, 1].map(() => allocate(backend, [rows, keyHeads, recent + 1, width]));
  const at = (tensor: tf.TensorInfo): number => addressOf(backend, tensor);
  const to = at(y);

  /** `c = a · weight`, or `c += a · weight`, for a weight `[inner, columns]`, and the bias if there is one. */
  const multiply = (
    a: number,
    weight: tf.TensorInfo,
    [inner, columns]: readonly [number, number],
    c: number,
    {add = false, bias}: {add?: boolean; bias?: tf.TensorInfo} = {},
  ): void => {
    const product = {rows, columns, inner, a, b: at(weight), transposeB: false, c, add};
    const steps = {aStep: inner * 4, bStep: columns * 4, cStep: columns * 4};
    if (weight.dtype === 'int32') module.multiplyBfloat16(product);
    else module.multiply({...product, ...steps, transposeA: false});
    if (!bias) return;
    const limits = {lower: -Infinity, upper: Infinity};
    module.addBias({x: c, rows, columns, bias: at(bias), ...limits});
  };
  /** The norm of the rows of `y` as they are by then. */
  const normalize = (weight: tf.TensorInfo, normalized: number): void => {
    module.rmsNorm({x: to, weight: at(weight), rows, width: hidden, epsilon, y: normalized});
  };

  const ofMlp = [intermediate, intermediate, intermediate];
  const sizes = [hidden, queries, ofKeys, ofKeys, queries, ...ofMlp];
  const ofHead = module.attendLastBytes({group, width, keys: positions + recent + 1});
  const bytes = ofHead + 4 * rows * sizes.reduce((sum, size) => sum + size, 0);
  withWorkspace(backend, bytes, (workspace) => {
    let next = workspace + ofHead;
    const [normalized, q, k, v, mixed, gate, up, gated] = sizes.map((size) => {
      const address = next;
      next += 4 * rows * size;
      return address;
    }) as [number, number, number, number, number, number, number, number];

    module.copy({from: at(x), size: rows * hidden, to});
    normalize(inputs.norm, normalized);
    multiply(normalized, inputs.q, [hidden, queries], q, {bias: inputs.qBias});
    multiply(normalized, inputs.k, [hidden, ofKeys], k, {bias: inputs.kBias});
    multiply(normalized, inputs.v, [hidden, ofKeys], v, {bias: inputs.vBias});

    const unseen = padding ? backend.typedArrayFromHeap(padding) : [];
    const table = inputs.cos.shape[0] === 1 ? 0 : width * 2;
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < keyHeads; head++) {
        const stack = row * keyHeads + head;
        const ofQueries = stack * group * width * 4;
        const ofOne = stack * width * 4;
        module.attendLast({
          ...{q: q + ofQueries, k: k + ofOne, v: v + ofOne, group, width},
          ...{cos: at(inputs.cos) + row * table, sin: at(inputs.sin) + row * table},
          ...{keys: at(keys) + ofOne * positions, values: at(inputs.values) + ofOne * positions},
          ...{positions, padding: unseen[row] ?? 0},
          recentKeys: at(recentKeys) + ofOne * recent,
          recentValues: at(inputs.recentValues) + ofOne * recent,
          recent,
          newKeys: at(results[0]!) + ofOne * (recent + 1),
          newValues: at(results[1]!) + ofOne * (recent + 1),
          ...{y: mixed + ofQueries, workspace},
        });
      }
    }
    multiply(mixed, inputs.o, [queries, hidden], to, {add: true});

    normalize(inputs.mlpNorm, normalized);
    multiply(normalized, inputs.gate, [hidden, intermediate], gate);
    multiply(normalized, inputs.up, [hidden, intermediate], up);
    module.swiglu({gate, up, size: rows * intermediate, y: gated});
    multiply(gated, inputs.down, [intermediate, hidden], to, {add: true});
  });
  return [y, ...results];
}
