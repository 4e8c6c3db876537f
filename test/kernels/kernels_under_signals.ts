/**
 * Runs every kernel that this library registers for a backend, on small and large tensors, while signals come that the process
 * handles, as of a terminal that is resized or of a profiler. Says as JSON what it ran; memory that a kernel leaves open to what
 * the system writes for a signal shows as a crash.
 *
 *   tsx test/kernels/kernels_under_signals.ts BACKEND SECONDS [SIGNALS]
 *
 * It goes on for so many seconds, and then until so many signals were handled, for two minutes at most.
 */
import {Worker} from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import * as names from '../../src/kernels/kernel_names';
import * as llama from '../../src/kernels/llama/kernel_names';
import {replaceKernels} from '../../src/kernels/replacement';
import {runKernel} from '../../src/kernels/run_kernel';
import {numbered, runAdam, type AdamInputs} from './run_adam';

/** How many seconds it may take until the signals were handled, on a machine that has much else to do. */
const LONGEST_WAIT = 120;

/** What the process says. */
export interface SignalRun {
  /** How often each kernel ran. */
  runs: Record<string, number>;
  /** How many signals were handled. */
  signals: number;
}

/** Of a model of LLaMA's kind, and of what is kept for its projected update. */
interface Sizes {
  batch: number;
  length: number;
  hidden: number;
  heads: number;
  keyHeads: number;
  intermediate: number;
  vocabulary: number;
  rank: number;
}

const smolLm = {hidden: 576, heads: 9, keyHeads: 3, intermediate: 1536, rank: 128};
const allSizes: Sizes[] = [
  {
    ...{batch: 2, length: 4, hidden: 16, heads: 2, keyHeads: 1},
    ...{intermediate: 24, vocabulary: 32, rank: 4},
  },
  {...smolLm, batch: 1, length: 3, vocabulary: 512},
  {...smolLm, batch: 1, length: 64, vocabulary: 512},
  {...smolLm, batch: 4, length: 128, vocabulary: 4096},
];

type Inputs = Record<string, tf.Tensor>;

/** All tensors are made of it: tfjs takes longer to draw their numbers than a kernel does to run. */
const noise = Float32Array.from({length: 4096 * 576}, () => 0.4 * (Math.random() - 0.5));
const random = (...shape: number[]): tf.Tensor =>
  tf.tensor(noise.slice(0, tf.util.sizeFromShape(shape)), shape);
const counting = (size: number, below: number): tf.Tensor1D =>
  tf.tensor1d(
    Array.from({length: size}, (_, i) => i % below),
    'int32',
  );

function run(name: string, inputs: Inputs, attrs = {}): tf.Tensor[] {
  return runKernel(name, inputs, attrs)!;
}

const named = (results: tf.Tensor[], ...outputs: string[]): Inputs =>
  Object.fromEntries(outputs.map((output, i) => [output, results[i]!]));

const epsilon = 1e-5;
const rows = ({batch, length}: Sizes): number => batch * length;

function attentionInputs({batch, length, hidden, heads, keyHeads}: Sizes): Inputs {
  const width = hidden / heads;
  return {
    x: random(batch * length, hidden),
    q: random(hidden, hidden),
    ...{k: random(hidden, keyHeads * width), v: random(hidden, keyHeads * width)},
    ...{cos: random(length, width / 2), sin: random(length, width / 2)},
  };
}

const attentionSublayerInputs = (sizes: Sizes): Inputs => ({
  ...attentionInputs(sizes),
  norm: random(sizes.hidden),
  o: random(sizes.hidden, sizes.hidden),
});

const mlpInputs = ({hidden, intermediate}: Sizes): Inputs => ({
  ...{gate: random(hidden, intermediate), up: random(hidden, intermediate)},
  down: random(intermediate, hidden),
});

function attend(sizes: Sizes): void {
  const attrs = {heads: sizes.heads, keyHeads: sizes.keyHeads, withKernelGradients: true};
  const inputs = attentionInputs(sizes);
  const results = run(llama.OwLoreAttention, inputs, attrs);
  const kept = named(results, 'y', 'queries', 'keys', 'values');
  run(llama.OwLoreAttentionGrad, {...inputs, ...kept, dy: random(...results[0]!.shape)}, attrs);
}

function attentionSublayer(sizes: Sizes): void {
  const attrs = {heads: sizes.heads, keyHeads: sizes.keyHeads, epsilon, withWeightGradients: true};
  const inputs = attentionSublayerInputs(sizes);
  const results = run(llama.OwLoreAttentionSublayer, inputs, attrs).slice(1);
  const kept = named(results, 'scale', 'mixed', 'queries', 'keys', 'values');
  const dy = random(...inputs['x']!.shape);
  run(llama.OwLoreAttentionSublayerGrad, {...inputs, ...kept, dy}, attrs);
}

function mlpSublayer(sizes: Sizes): void {
  const x = random(rows(sizes), sizes.hidden);
  const inputs = {...mlpInputs(sizes), x, norm: random(sizes.hidden)};
  const results = run(llama.OwLoreMlpSublayer, inputs, {epsilon, withoutValue: false}).slice(1);
  const given = {...inputs, ...named(results, 'scale', 'gated', 'upped'), dy: random(...x.shape)};
  run(llama.OwLoreMlpSublayerGrad, given, {epsilon, withWeightGradients: true});
}

function block(sizes: Sizes): void {
  const {heads, keyHeads} = sizes;
  const blockAttrs = {keepsWeights: true, withoutValue: false, withWeightGradients: true};
  const attrs = {heads, keyHeads, epsilon, ...blockAttrs};
  const inputs: Inputs = {
    ...attentionSublayerInputs(sizes),
    ...mlpInputs(sizes),
    mlpNorm: random(sizes.hidden),
  };
  const outputs = ['attended', 'mlpScale', 'gated', 'upped'];
  outputs.push('scale', 'mixed', 'queries', 'keys', 'values');
  const results = run(llama.OwLoreBlock, inputs, attrs).slice(1);
  const weights = results.slice(outputs.length).map((_, i) => `weights${i}`);
  const dy = random(...inputs['x']!.shape);
  run(llama.OwLoreBlockGrad, {...inputs, ...named(results, ...outputs, ...weights), dy}, attrs);
}

function decodeBlock(sizes: Sizes): void {
  const {batch, length, hidden, heads, keyHeads, intermediate} = sizes;
  const width = hidden / heads;
  const past = (positions: number): tf.Tensor => random(batch, keyHeads, positions, width);
  const shared: Inputs = {
    x: random(batch, 1, hidden),
    ...{cos: random(1, width / 2), sin: random(1, width / 2)},
    padding: counting(batch, length),
  };
  const all: Inputs = {
    ...attentionSublayerInputs(sizes),
    ...mlpInputs(sizes),
    mlpNorm: random(hidden),
    ...{keys: past(length), values: past(length), recentKeys: past(2), recentValues: past(2)},
  };
  const own = Object.entries(all).filter(([name]) => !(name in shared));
  const attrs = {heads, keyHeads, intermediate, epsilon};
  run(llama.OwLoreDecodeBlock, {...Object.fromEntries(own), ...shared}, attrs);
  const blockInputs = [0, 1].flatMap((i) => own.map(([name, x]) => [`${name}${i}`, x] as const));
  const inputs = {...Object.fromEntries(blockInputs), ...shared};
  run(llama.OwLoreDecodeBlocks, inputs, {...attrs, blocks: 2});
}

function rmsNorm(sizes: Sizes): void {
  const x = random(rows(sizes), sizes.hidden);
  const weight = random(sizes.hidden);
  run(llama.OwLoreRMSNorm, {x, weight}, {epsilon});
  run(llama.OwLoreRMSNormGrad, {dy: random(...x.shape), x, weight}, {epsilon});
}

function swiglu(sizes: Sizes): void {
  const [gate, up, dy] = [0, 1, 2].map(() => random(rows(sizes), sizes.intermediate));
  run(llama.OwLoreSwiGLU, {gate: gate!, up: up!});
  run(llama.OwLoreSwiGLUGrad, {dy: dy!, gate: gate!, up: up!}, {withValue: true});
}

function crossEntropy(sizes: Sizes): void {
  const logits = random(rows(sizes), sizes.vocabulary);
  const inputs = {logits, labels: counting(rows(sizes), sizes.vocabulary)};
  const weights = tf.ones([rows(sizes)]);
  run(llama.OwLoreCrossEntropy, {...inputs, weights});
  run(llama.OwLoreCrossEntropyGrad, {...inputs, weights}, {withLoss: true});
}

const step = {beta1: 0.9, beta2: 0.999, rate: 1e-3, epsilon, decay: 0.99};

/** A matrix, and what its projected update reads. */
function projected(
  side: 'left' | 'right',
  inner: number,
  outer: number,
  rank: number,
): AdamInputs & Inputs {
  const isLeft = side === 'left';
  const moments = isLeft ? [rank, outer] : [inner, rank];
  const [first, gradient] = [random(...moments), random(...moments)];
  const variable = random(inner, outer);
  const basis = random(isLeft ? inner : outer, rank);
  return {variable, first, second: tf.square(first), gradient, basis};
}

function adam({hidden, intermediate, heads, keyHeads, rank}: Sizes): void {
  const [variable, first, gradient] = [0, 1, 2].map(() => random(hidden, intermediate));
  runAdam({variable, first, second: tf.square(first!), gradient}, step);
  for (const outer of [(hidden / heads) * keyHeads, hidden, intermediate]) {
    for (const side of ['left', 'right'] as const) {
      runAdam(projected(side, hidden, outer, rank), {...step, side});
    }
  }
  const {beta1, beta2, ...update} = step;
  const sides = ['left', 'right'] as const;
  const inputs = sides.map((side, i) => numbered(projected(side, hidden, 2 * hidden, rank), i));
  const updates = sides.map((side) => ({...update, side}));
  run(names.OwLoreAdam, Object.assign({}, ...inputs) as Inputs, {beta1, beta2, updates});
}

function matMul({hidden, intermediate, rank, ...sizes}: Sizes): void {
  for (const [m, k, n] of [
    [rows({...sizes, hidden, intermediate, rank}), hidden, intermediate],
    [rank, hidden, intermediate],
    [1, hidden, hidden],
  ] as const) {
    for (const transposed of [0, 1, 2, 3]) {
      const [transposeA, transposeB] = [transposed % 2 === 1, transposed > 1];
      const a = transposeA ? random(k, m) : random(m, k);
      tf.matMul(a, transposeB ? random(n, k) : random(k, n), transposeA, transposeB);
    }
  }
  tf.matMul(random(2, 3, 5, hidden), random(3, hidden, rank));
}

const convolution = (): void => {
  const [image, filter, depthwise] = [random(2, 12, 12, 4), random(3, 3, 4, 8), random(3, 3, 4, 2)];
  tf.grads((x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'))([image, filter]);
  const depthwiseConvolution = (x: tf.Tensor, w: tf.Tensor): tf.Tensor =>
    tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same');
  tf.grads(depthwiseConvolution)([image, depthwise]);
  tf.grad((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, 'same'))(image);
};

const matrixOf =
  (name: string) =>
  ({hidden, rank}: Sizes): unknown =>
    run(name, {matrix: random(hidden, rank)});

/** By kernel; a kernel and its gradient have one case. */
const cases: Readonly<Record<string, (sizes: Sizes) => unknown>> = {
  [tf.BatchMatMul]: matMul,
  [tf._FusedMatMul]: ({hidden, ...sizes}) =>
    tf.fused.matMul({
      ...{a: random(rows({...sizes, hidden}), hidden), b: random(hidden, hidden)},
      ...{bias: random(hidden), activation: 'relu'},
    }),
  [tf.UnsortedSegmentSum]: (sizes) =>
    tf.unsortedSegmentSum(random(rows(sizes), sizes.hidden), counting(rows(sizes), 7), 7),
  [names.OwLoreAddRows]: (sizes) => {
    const ids = counting(rows(sizes), sizes.vocabulary);
    const inputs = {x: random(sizes.vocabulary, sizes.hidden), ids};
    const values = random(rows(sizes), sizes.hidden);
    run(names.OwLoreAddRows, {...inputs, values}, {isSoleOwner: true});
  },
  [names.OwLoreAccumulate]: ({hidden}) => {
    run(names.OwLoreAccumulate, {sum: random(hidden, hidden), x: random(hidden, hidden)}, {});
  },
  [tf.GatherV2]: (sizes) =>
    tf.gather(random(sizes.vocabulary, sizes.hidden), counting(rows(sizes), sizes.vocabulary)),
  [tf.Concat]: ({hidden}) => tf.concat([random(hidden, hidden), random(hidden, 1)], 1),
  [tf.Slice]: ({hidden}) => tf.slice(random(hidden, hidden), [1, 1], [hidden - 1, hidden - 2]),
  [tf.Add]: ({hidden}) => tf.add(random(hidden, hidden), random(hidden, hidden)),
  [tf.Identity]: ({hidden}) => tf.clone(random(hidden, hidden)),
  [tf.Cast]: ({hidden}) => tf.cast(random(hidden, hidden), 'int32'),
  [tf.Conv2DBackpropFilter]: convolution,
  [tf.DepthwiseConv2dNativeBackpropFilter]: convolution,
  [tf.DepthwiseConv2dNativeBackpropInput]: convolution,
  [tf.MaxPoolGrad]: convolution,
  [names.OwLoreAdam]: adam,
  [names.OwLoreSquaredNorm]: ({hidden}) =>
    run(names.OwLoreSquaredNorm, {x: random(hidden, hidden)}),
  [names.OwLoreOrthonormalize]: matrixOf(names.OwLoreOrthonormalize),
  [names.OwLoreNearlyOrthonormalize]: matrixOf(names.OwLoreNearlyOrthonormalize),
  [names.OwLoreRefresh]: ({hidden, intermediate, rank}) => {
    const inputs = {
      ...{gradient0: random(hidden, intermediate), random0: random(hidden, rank)},
      ...{gradient1: random(intermediate, hidden), random1: random(hidden, rank)},
      previous1: random(hidden, rank),
    };
    const refreshes = [
      {side: 'left', multiplications: 3},
      {side: 'right', multiplications: 1},
    ];
    return run(names.OwLoreRefresh, inputs, {refreshes, scalesDirections: true});
  },
  [names.OwLoreLeftSingularVectors]: ({rank}) =>
    run(names.OwLoreLeftSingularVectors, {matrix: random(rank, rank / 4)}),
  [names.OwLoreMagnitudeSums]: ({hidden}) =>
    run(names.OwLoreMagnitudeSums, {weight: random(hidden, hidden), norm: random(hidden)}),
  [names.OwLoreCountAbove]: ({hidden}) => {
    const inputs = {weight: random(hidden, hidden), norm: random(hidden)};
    return run(names.OwLoreCountAbove, inputs, {thresholds: [0.01, 0.1]});
  },
  [names.OwLoreUnpackBfloat16]: ({hidden}) =>
    run(
      names.OwLoreUnpackBfloat16,
      {packed: counting(hidden ** 2, 9)},
      {shape: [hidden, 2, hidden]},
    ),
  [llama.OwLorePackedMatMul]: (sizes) =>
    run(
      llama.OwLorePackedMatMul,
      {x: random(rows(sizes), sizes.hidden), packed: counting(sizes.hidden ** 2, 9)},
      {shape: [2 * sizes.hidden, sizes.hidden], transposed: true},
    ),
  [llama.OwLoreUnpackWindow]: ({hidden}) =>
    run(
      llama.OwLoreUnpackWindow,
      {packed: counting(hidden ** 2, 9)},
      {columns: hidden, begin: [1, 2], shape: [2 * hidden - 1, hidden - 2]},
    ),
  [llama.OwLoreUnpackRows]: (sizes) =>
    run(
      llama.OwLoreUnpackRows,
      {packed: counting(sizes.hidden ** 2, 9), ids: counting(rows(sizes), sizes.hidden)},
      {columns: sizes.hidden},
    ),
  [llama.OwLoreRMSNorm]: rmsNorm,
  [llama.OwLoreRMSNormGrad]: rmsNorm,
  [llama.OwLoreSwiGLU]: swiglu,
  [llama.OwLoreSwiGLUGrad]: swiglu,
  [llama.OwLoreCrossEntropy]: crossEntropy,
  [llama.OwLoreCrossEntropyGrad]: crossEntropy,
  [llama.OwLoreAttention]: attend,
  [llama.OwLoreAttentionGrad]: attend,
  [llama.OwLoreAttentionSublayer]: attentionSublayer,
  [llama.OwLoreAttentionSublayerGrad]: attentionSublayer,
  [llama.OwLoreMlpSublayer]: mlpSublayer,
  [llama.OwLoreMlpSublayerGrad]: mlpSublayer,
  [llama.OwLoreBlock]: block,
  [llama.OwLoreBlockGrad]: block,
  [llama.OwLoreDecodeBlock]: decodeBlock,
  [llama.OwLoreDecodeBlocks]: decodeBlock,
};

const [backend, seconds, leastSignals = '0'] = process.argv.slice(2) as [
  BackendName,
  string,
  string?,
];
await loadBackend(backend);
await tf.setBackend(backend);
// On wasm the functions of all others are guarded, where they are registered.
const registered = (): Map<string, tf.KernelConfig> =>
  new Map(tf.getKernelsForBackend(backend).map((config) => [config.kernelName, config]));
const stock = registered();
await installKernelsForBackend();

const result: SignalRun = {runs: {}, signals: 0};
const own = [...registered()].filter(([name, kernel]) => stock.get(name) !== kernel);
// The largest take wasm's single thread long.
const sizesHere = backend === 'wasm' ? allSizes.slice(0, 3) : allSizes;
const counted = own.map(([name, {kernelFunc}]): [string, () => tf.KernelFunc] => {
  if (!cases[name]) throw new Error(`there is no case for the kernel ${name}`);
  result.runs[name] = 0;
  return [
    name,
    () => (args) => {
      result.runs[name]!++;
      return kernelFunc(args);
    },
  ];
});
replaceKernels(backend, Object.fromEntries(counted));

process.on('SIGWINCH', () => result.signals++);
const sender = new Worker(
  `const timer = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    process.kill(process.pid, 'SIGWINCH');
    Atomics.wait(timer, 0, 0, 0.3);
  }`,
  {eval: true},
);
const chosen = new Set(own.map(([name]) => cases[name]!));
const start = Date.now();
/** Whether so many seconds have passed. */
const hasRun = (seconds: number): boolean => Date.now() - start >= 1000 * seconds;
do {
  for (const sizes of sizesHere) {
    // A few tokens so often that kernels become graphs, many of them less so.
    const max = rows(sizes) < 16 ? 20 : 2;
    for (const runCase of chosen) {
      for (let i = 0; i < max; i++) tf.tidy(() => void runCase(sizes));
      // Lets the signals' listener run, without which libuv's pipe is full.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
} while (
  !hasRun(Number(seconds)) ||
  (result.signals < Number(leastSignals) && !hasRun(LONGEST_WAIT))
);
await sender.terminate();
console.log(JSON.stringify(result));
process.exit(0);
