/**
 * The kernels of the wasm backend against each other, in turns within one process: products of matrices, fused kernels.
 *
 *   npm run bench -- wasm_kernels
 *
 * Whole steps are what `performance` compares. Medians, as good as the machine was quiet. Node 20 takes the module with
 * relaxed SIMD if it is told that there is any:
 *
 *   node --experimental-wasm-relaxed-simd --import tsx bench/bench.ts wasm_kernels
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {loadBackend} from '../../tools/load_backend';
import * as fused from '../../src/kernels/llama/kernel_names';
import {installKernels, uninstallKernels} from '../../src/kernels/wasm';
import * as composed from '../../tools/composed';
import {median} from '../harness/statistics';
import {referenceShape as shape} from '../harness/workload';

const {values} = parseArgs({
  options: {
    rounds: {type: 'string', default: '15'},
  },
});
const rounds = Number(values.rounds);

/** tfjs's own; those that `installKernels` composes of them; the SIMD module. */
type Kernels = 'stock' | 'composed' | 'module';

async function use(kernels: Kernels): Promise<void> {
  uninstallKernels();
  if (kernels !== 'stock') await installKernels({simd: kernels === 'module' ? 'auto' : 'none'});
}

/** Milliseconds of each run by turns, and of the first round, which warms up, none. */
async function inTurns<Name extends string>(
  runs: Readonly<Record<Name, () => Promise<number>>>,
  rounds: number,
): Promise<Record<Name, number>> {
  const names = Object.keys(runs) as Name[];
  const times = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const time = await runs[name]();
      if (round > 0) times.get(name)!.push(time);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times.get(name)!)])) as Record<
    Name,
    number
  >;
}

/** Milliseconds of `f`, of which the results are thrown away. */
async function time(kernels: Kernels, f: () => tf.TensorContainer): Promise<number> {
  await use(kernels);
  const start = performance.now();
  tf.tidy(() => void f());
  return performance.now() - start;
}

function print(cells: Array<string | number>): void {
  console.log(
    `| ${cells.map((x) => (typeof x === 'number' ? x.toPrecision(3) : x)).join(' | ')} |`,
  );
}

interface Product {
  title: string;
  a: number[];
  b: number[];
  transposeA: boolean;
  transposeB: boolean;
}

async function measureProduct({
  a,
  b,
  transposeA,
  transposeB,
}: Product): Promise<Record<Kernels, number>> {
  const [left, right] = [tf.randomNormal(a), tf.randomNormal(b)];
  const product = (): tf.Tensor => tf.matMul(left, right, transposeA, transposeB);
  const flops = 2 * tf.tidy(() => product().size) * a.at(transposeA ? -2 : -1)!;
  const ms = await inTurns(
    {
      stock: () => time('stock', product),
      composed: () => time('composed', product),
      module: () => time('module', product),
    },
    rounds,
  );
  tf.dispose([left, right]);
  const rate = (milliseconds: number): number => flops / milliseconds / 1e6;
  return {stock: rate(ms.stock), composed: rate(ms.composed), module: rate(ms.module)};
}

const {hidden, intermediate, heads, length} = shape;
const tokens = shape.batch * length;
const stack = shape.batch * heads;
const width = hidden / heads;
const products: Product[] = (
  [
    ['x · w', [tokens, hidden], [hidden, hidden], false, false],
    ['x · w, wide', [tokens, hidden], [hidden, intermediate], false, false],
    ['xᵀ · dy', [tokens, hidden], [tokens, intermediate], true, false],
    ['dy · wᵀ', [tokens, intermediate], [hidden, intermediate], false, true],
    ['q · kᵀ of heads', [stack, length, width], [stack, length, width], false, true],
    ['w · v of heads', [stack, length, length], [stack, length, width], false, false],
    ['wᵀ · dy of heads', [stack, length, length], [stack, length, width], true, false],
    ['one row', [1, hidden], [hidden, intermediate], false, false],
  ] as const
).map(([title, a, b, transposeA, transposeB]) => ({
  title,
  ...{a: [...a], b: [...b], transposeA, transposeB},
}));

interface Fusion {
  title: string;
  inputs: tf.NamedTensorMap;
  /** Inputs that have no gradient. */
  constants?: tf.NamedTensorMap;
  forward: string;
  backward: string;
  /** What the backward kernel calls the results of the forward one, if it reads them. */
  results?: string[];
  attrs?: object;
  op: (...inputs: tf.Tensor[]) => tf.Tensor;
}

function fusions(): Fusion[] {
  const random = (...shape: number[]): tf.Tensor => tf.randomNormal(shape);
  const kernel = (): tf.Tensor => tf.randomNormal([hidden, hidden], 0, hidden ** -0.5);
  const table = {cos: random(length, width / 2), sin: random(length, width / 2)};
  return [
    {
      title: 'RMSNorm',
      inputs: {x: random(tokens, hidden), weight: random(hidden)},
      forward: fused.OwLoreRMSNorm,
      backward: fused.OwLoreRMSNormGrad,
      attrs: {epsilon: 1e-5},
      op: (x, weight) => composed.rmsNorm(x, weight, 1e-5),
    },
    {
      title: 'SwiGLU',
      inputs: {gate: random(tokens, intermediate), up: random(tokens, intermediate)},
      forward: fused.OwLoreSwiGLU,
      backward: fused.OwLoreSwiGLUGrad,
      op: (gate, up) => composed.swiglu(gate, up),
    },
    {
      title: 'attention',
      inputs: {
        x: random(tokens, hidden),
        q: kernel(),
        k: kernel(),
        v: kernel(),
      },
      constants: table,
      forward: fused.OwLoreAttention,
      backward: fused.OwLoreAttentionGrad,
      results: ['y', 'queries', 'keys', 'values'],
      attrs: {heads, keyHeads: heads, withKernelGradients: true},
      op: (x, ...kernels) => {
        const [q, k, v] = kernels.map((kernel) =>
          tf.reshape(tf.matMul(x, kernel), [shape.batch, length, heads, width]),
        );
        return tf.reshape(composed.selfAttention(q!, k!, v!, table), [tokens, hidden]);
      },
    },
  ];
}

/** Value and gradients of an op: composed of tfjs's, with the module's products, and by the fused kernels. */
async function measureFusion(fusion: Fusion): Promise<Record<'composed' | 'fused', number>> {
  const {inputs, constants = {}, forward, backward, results = [], attrs = {}, op} = fusion;
  const operands = Object.values(inputs);
  const dy = tf.tidy(() => tf.onesLike(op(...operands)));
  const run = (name: string, given: tf.NamedTensorMap): tf.Tensor[] =>
    [tf.engine().runKernel<tf.Tensor | tf.Tensor[]>(name, given, attrs as tf.NamedAttrMap)].flat();
  const milliseconds = await inTurns(
    {
      composed: () => time('module', () => void tf.grads(op)(operands, dy)),
      fused: () =>
        time('module', () => {
          const outputs = run(forward, {...inputs, ...constants});
          const kept = Object.fromEntries(results.map((name, i) => [name, outputs[i]!]));
          run(backward, {dy, ...inputs, ...constants, ...kept});
        }),
    },
    rounds,
  );
  tf.dispose([{...inputs}, dy]);
  return milliseconds;
}

await loadBackend('wasm');
await tf.setBackend('wasm');

print(['GFLOP/s', 'stock', 'composed', 'module']);
print(['---', '---', '---', '---']);
for (const product of products) {
  const rates = await measureProduct(product);
  const {a, b} = product;
  const title = `${product.title}: [${a.join(', ')}] [${b.join(', ')}]`;
  print([title, rates.stock, rates.composed, rates.module]);
}

console.log();
print(['ms, value and gradients', 'composed', 'fused']);
print(['---', '---', '---']);
for (const fusion of fusions()) {
  const milliseconds = await measureFusion(fusion);
  print([fusion.title, milliseconds.composed, milliseconds.fused]);
}
