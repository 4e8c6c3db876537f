import {MAX_DECODED_TOGETHER} from '../llama/block_features';
import type {OwLoreDecodeBlockAttrs, OwLoreDecodeBlocksAttrs} from '../llama/kernel_names';
import {runOps, type KernelRunner, type NativeInputs, type NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';
import {asRows, inverseRms, normalize} from './rms_norm';
import {swiglu} from './swiglu';

/** Added to the score of a key that a query may not see. */
const HIDDEN = -1e9;

/** The shortest row that is multiplied in two halves, by two threads. */
const SHORTEST_HALVED = 256;

/**
 * For each of these inputs the axis of its positions. No constant of the kernel depends on how many there are, so that one graph is
 * enough for all numbers of them.
 */
export const DECODE_FREE_AXES: Readonly<Record<string, number>> = {
  ...{keys: 2, values: 2, recentKeys: 2, recentValues: 2},
};

/** OwLoreDecodeBlock. */
export const decodeBlock: NativeKernel<OwLoreDecodeBlockAttrs> = (ops, inputs, attrs) => {
  const {epsilon} = attrs;
  const x = asRows(ops, inputs['x']!);
  const normalized = (x: Native, norm: string): Native =>
    normalize(ops, x, inverseRms(ops, x, epsilon), inputs[norm]!);
  const [mixed, keys, values] = ops.scope(() => attend(ops, normalized(x, 'norm'), inputs, attrs));
  const attended = ops.scope(() => ops.add(x, product(ops, mixed, inputs['o']!)));
  const y = ops.scope(() => {
    const hidden = normalized(attended, 'mlpNorm');
    const [gate, up] = ['gate', 'up'].map((name) => product(ops, hidden, inputs[name]!));
    const [gated] = runOps(swiglu, ops, {gate: gate!, up: up!}, {});
    const sum = ops.add(attended, product(ops, gated!, inputs['down']!));
    return ops.reshape(sum, inputs['x']!.shape);
  });
  return [y, keys, values];
};

/** The inputs of OwLoreDecodeBlocks that all blocks share. */
const SHARED = ['cos', 'sin', 'padding'];

/** {@link DECODE_FREE_AXES} of OwLoreDecodeBlocks. */
export const DECODE_BLOCKS_FREE_AXES: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(DECODE_FREE_AXES).flatMap(([name, axis]) =>
    Array.from({length: MAX_DECODED_TOGETHER}, (_, i) => [`${name}${i}`, axis]),
  ),
);

/** OwLoreDecodeBlocks. */
export const decodeBlocks: NativeKernel<OwLoreDecodeBlocksAttrs> = (ops, inputs, attrs) => {
  const recent: Native[] = [];
  let x = inputs['x']!;
  for (const given of inputsOfBlocks(inputs, attrs)) {
    const results = runOps(decodeBlock, ops, {...given, x}, attrs);
    const [y, keys, values] = results as [Native, Native, Native];
    x = y;
    recent.push(keys, values);
  }
  return [x, ...recent];
};

/** The same by a runner of OwLoreDecodeBlock. */
export function oneByOne(
  runner: KernelRunner<OwLoreDecodeBlockAttrs>,
): KernelRunner<OwLoreDecodeBlocksAttrs> {
  return (backend, inputs, {blocks, ...attrs}) => {
    const recent: Native[] = [];
    let x = inputs['x']!;
    for (const given of inputsOfBlocks(inputs, {blocks})) {
      const [y, ...keyAndValue] = runner(backend, {...given, x}, attrs) as [Native, ...Native[]];
      if (recent.length > 0) backend.binding.deleteTensor(x.id);
      x = y;
      recent.push(...keyAndValue);
    }
    return [x, ...recent];
  };
}

/** The inputs of each block without `x`. */
function inputsOfBlocks(
  inputs: NativeInputs,
  {blocks}: Pick<OwLoreDecodeBlocksAttrs, 'blocks'>,
): NativeInputs[] {
  const shared = SHARED.flatMap((name) => (inputs[name] ? [[name, inputs[name]] as const] : []));
  return Array.from({length: blocks}, (_, i) => {
    const own = Object.entries(inputs).flatMap(([name, input]) =>
      name.endsWith(`${i}`) ? [[name.slice(0, -1), input] as const] : [],
    );
    return Object.fromEntries([...shared, ...own]);
  });
}

/** The heads' values of each row side by side, `[rows, heads · width]`, and the recent keys and values with its own. */
function attend(
  ops: NativeOps,
  x: Native,
  inputs: NativeInputs,
  {heads, keyHeads}: OwLoreDecodeBlockAttrs,
): [mixed: Native, keys: Native, values: Native] {
  const rows = x.shape[0]!;
  const width = 2 * inputs['cos']!.shape[1]!;
  const [q, k, v] = ['q', 'k', 'v'].map((name) => {
    const projected = product(ops, x, inputs[name]!);
    const bias = inputs[`${name}Bias`];
    return ops.reshape(bias ? ops.add(projected, bias) : projected, [rows, -1, width]);
  }) as [Native, Native, Native];
  const rotated = rotate(ops, ops.concat([q, k], 1), inputs);
  const [queries, key] = ops.split(rotated, [heads, keyHeads], 1);
  const grouped = ops.reshape(queries!, [rows, keyHeads, heads / keyHeads, width]);
  const scaled = ops.mul(grouped, ops.scalar(width ** -0.5));
  const [keys, values] = [
    ['recentKeys', key!],
    ['recentValues', v],
  ].map(([name, own]) => {
    const position = ops.reshape(own as Native, [rows, keyHeads, 1, width]);
    return ops.concat([inputs[name as string]!, position], 2);
  }) as [Native, Native];

  // Softmax over both parts, without joining them.
  const scores = [inputs['keys']!, keys].map((part) => ops.batchMatMul(scaled, part, false, true));
  if (inputs['padding']) scores[0] = ops.add(scores[0]!, paddingMask(ops, inputs));
  const largest = scores.map((part) => reduced(ops, 'Max', part, 3));
  const shift = ops.run('Maximum', largest);
  const weights = scores.map((part) => ops.run('Exp', [ops.sub(part, shift)]));
  const [total, mixed] = [
    weights.map((part) => reduced(ops, 'Sum', part, 3)),
    [inputs['values']!, values].map((part, i) => weighted(ops, weights[i]!, part)),
  ].map(([a, b]) => ops.add(a!, b!));
  const y = ops.reshape(ops.div(mixed!, total!), [rows, heads * width]);
  return [y, keys, values];
}

/**
 * `x` `[rows, in]` times a kernel. TensorFlow multiplies a single row in one thread; two halves of it are two ops, which a graph runs
 * at a time. The halves of the kernel are parts of its memory.
 */
function product(ops: NativeOps, x: Native, kernel: Native): Native {
  const [rows, inner] = x.shape as [number, number];
  if (rows > 1) return ops.batchMatMul(x, kernel);
  if (inner < SHORTEST_HALVED || inner % 2 !== 0) return ops.matMul(x, kernel);
  return ops.scope(() => {
    const half = inner / 2;
    const parts = ops.split(x, [half, half], 1).map((part, i) => {
      const columns = kernel.shape[1]!;
      return ops.matMul(part, ops.slice(kernel, [i * half, 0], [half, columns]));
    });
    return ops.add(parts[0]!, parts[1]!);
  });
}

/** `x` `[rows, heads, width]`, rotated. */
function rotate(ops: NativeOps, x: Native, {cos, sin}: NativeInputs): Native {
  return ops.scope(() => {
    const half = cos!.shape[1]!;
    const [c, s] = [cos!, sin!].map((table) => ops.reshape(table, [-1, 1, half]));
    const [first, second] = ops.split(x, [half, half], 2) as [Native, Native];
    const halves = [
      ops.sub(ops.mul(first, c!), ops.mul(second, s!)),
      ops.add(ops.mul(second, c!), ops.mul(first, s!)),
    ];
    return ops.concat(halves, 2);
  });
}

/** `[rows, 1, 1, positions]`: 0 where the row sees the key, else `HIDDEN`. */
function paddingMask(ops: NativeOps, inputs: NativeInputs): Native {
  return ops.scope(() => {
    const {keys, padding} = inputs;
    const T = ops.int32;
    const shape = ops.run('Shape', [keys!], {T: ops.float32, out_type: T});
    const positions = ops.reshape(ops.slice(shape, [2], [1]), []);
    const [zero, one] = [0, 1].map((value) => ops.constant(Int32Array.of(value), []));
    const places = ops.run('Range', [zero!, positions, one!], {Tidx: T});
    const first = ops.reshape(padding!, [-1, 1, 1, 1]);
    const isPadding = ops.run('Less', [places, first], {T});
    return ops.select(isPadding, ops.scalar(HIDDEN), ops.scalar(0));
  });
}

/** Over an axis, which is kept with length 1. */
function reduced(ops: NativeOps, op: 'Max' | 'Sum', x: Native, axis: number): Native {
  const where = ops.constant(Int32Array.of(axis), [1]);
  return ops.run(op, [x, where], {T: ops.float32, Tidx: ops.int32, keep_dims: true});
}

/** Weights `[rows, keyHeads, group, positions]` times values `[rows, keyHeads, positions, width]`. */
function weighted(ops: NativeOps, weights: Native, values: Native): Native {
  if (ops.isAnyProductSafe) return ops.batchMatMul(weights, values);
  return ops.scope(() => {
    const expanded = (x: Native, axis: number): Native =>
      ops.run('ExpandDims', [x, ops.constant(Int32Array.of(axis), [])], {
        ...{T: ops.float32, Tdim: ops.int32},
      });
    // [rows, keyHeads, group, positions, 1] and [rows, keyHeads, 1, positions, width]
    const products = ops.mul(expanded(weights, 4), expanded(values, 2));
    const where = ops.constant(Int32Array.of(3), [1]);
    const attributes = {T: ops.float32, Tidx: ops.int32, keep_dims: false};
    return ops.run('Sum', [products, where], attributes);
  });
}
