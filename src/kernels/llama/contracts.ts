import * as tf from '@tensorflow/tfjs-core';
import type {Contract, KernelArguments} from '../kernel_arguments';
import {MAX_DECODED_TOGETHER} from './block_features';
import * as llama from './kernel_names';

/** The valid arguments of the kernels of LLaMA-style models; `kernel_names` says what the sizes mean. */
export const llamaContracts: Readonly<Record<string, Contract>> = {
  [llama.OwLoreRMSNorm]: (given) => rows(given, 'x', 'weight'),
  [llama.OwLoreRMSNormGrad]: (given) => {
    rows(given, 'x', 'weight');
    given.match('dy', given.shape('x'));
  },
  [llama.OwLoreSwiGLU]: (given) => given.alike(given.shape('gate'), 'up'),
  [llama.OwLoreSwiGLUGrad]: (given) => {
    given.alike(given.shape('gate'), 'up', 'dy');
    given.flag('withValue');
  },
  [llama.OwLoreCrossEntropy]: crossEntropy,
  [llama.OwLoreCrossEntropyGrad]: (given) => {
    crossEntropy(given);
    given.flag('withLoss');
  },
  [llama.OwLoreAttention]: (given) => {
    const [tokens, hidden] = given.matrix('x');
    attention(given, tokens, hidden);
  },
  [llama.OwLoreAttentionGrad]: (given) => {
    const [tokens, hidden] = given.matrix('x');
    const sizes = attention(given, tokens, hidden);
    given.alike([tokens, sizes.queries], 'y', 'dy');
    heads(given, sizes);
    given.flag('withKernelGradients');
  },
  [llama.OwLoreAttentionSublayer]: (given) => void attentionSublayer(given, lowRankWeight),
  [llama.OwLoreAttentionSublayerGrad]: (given) =>
    void attentionSublayerGrad(given, {needsMixed: true}),
  [llama.OwLoreMlpSublayer]: (given) => {
    mlp(given, 'norm');
    given.flag('withoutValue');
  },
  [llama.OwLoreMlpSublayerGrad]: (given) => mlpGrad(given, 'norm', 'scale'),
  [llama.OwLoreBlock]: (given) => {
    attentionSublayer(given, lowRankWeight);
    mlp(given, 'mlpNorm');
    if (given.has('attended')) given.match('attended', given.shape('x'));
    given.flag('keepsWeights');
    given.flag('withoutValue');
  },
  [llama.OwLoreBlockGrad]: (given) => {
    const sizes = attentionSublayerGrad(given, {needsMixed: given.flag('withWeightGradients')});
    mlpGrad(given, 'mlpNorm', 'mlpScale');
    given.match('attended', given.shape('x'));
    attentionWeights(given, sizes);
  },
  [llama.OwLoreDecodeBlock]: decodeBlock,
  [llama.OwLoreDecodeBlocks]: (given) => {
    const blocks = given.integer('blocks', 1);
    if (blocks > MAX_DECODED_TOGETHER)
      given.fail(`blocks must be at most ${MAX_DECODED_TOGETHER}; got ${blocks}`);
    for (let i = 0; i < blocks; i++)
      decodeBlock(given.numbered(i, given.attrs, ['x', 'cos', 'sin', 'padding']));
  },
  [llama.OwLorePackedMatMul]: (given) => {
    const shape = given.sizes('shape', 2);
    const inner = shape[given.flag('transposed') ? 1 : 0]!;
    given.match('x', [null, inner]);
    given.match('packed', [wordsOf(shape)], 'int32');
  },
  [llama.OwLoreUnpackWindow]: (given) => {
    const [rows, columns] = packedMatrix(given);
    const [begin, shape] = [given.sizes('begin', 2), given.sizes('shape', 2)];
    if (begin[0]! + shape[0]! <= rows && begin[1]! + shape[1]! <= columns) return;
    given.fail(
      `begin + shape must be within the matrix [${rows}, ${columns}]; got [${begin.join()}] + [${shape.join()}]`,
    );
  },
  [llama.OwLoreUnpackRows]: (given) => {
    const [rows, columns] = packedMatrix(given);
    if (rows === 0) given.refuse('packed', `must have a row of ${columns} numbers`);
    given.shape('ids', 'int32');
  },
};

/** Rows of at least one number, and a weight for each place in a row. */
function rows(given: KernelArguments, name: string, weight: string): number {
  const shape = given.shape(name);
  const width = shape.at(-1) ?? 0;
  if (width === 0) given.fail(`input '${name}' must have rows of numbers; got ${given.text(name)}`);
  given.match(weight, [width]);
  given.finite(0, 'epsilon');
  return width;
}

function crossEntropy(given: KernelArguments): void {
  const [rows, vocabulary] = given.matrix('logits');
  if (vocabulary === 0) given.fail(`input 'logits' must have columns; got ${given.text('logits')}`);
  given.match('labels', [rows], 'int32');
  given.match('weights', [rows]);
}

type Size3D = [number, number, number];

interface AttentionSizes {
  batch: number;
  length: number;
  tokens: number;
  keyHeads: number;
  group: number;
  width: number;
  /** How many numbers a token has in all query heads together, and in all key heads. */
  queries: number;
  keys: number;
}

/** Checks a weight `[rows, columns]`. */
type WeightCheck = (given: KernelArguments, name: string, shape: [number, number]) => void;

const floatWeight: WeightCheck = (given, name, shape) => void given.match(name, shape);

/** Of a backend that takes it packed, too. */
const anyWeight: WeightCheck = (given, name, shape) => {
  if (given.backendName !== 'wasm' || !given.isOf('int32', name)) floatWeight(given, name, shape);
  else given.match(name, [wordsOf(shape)], 'int32');
};

/** With a low-rank product beside it, if that is given. */
const lowRankWeight: WeightCheck = (given, name, shape) => {
  floatWeight(given, name, shape);
  if (![`${name}A`, `${name}B`].some((part) => given.has(part))) return;
  const [, rank] = given.match(`${name}A`, [shape[0], null]) as [number, number];
  if (rank === 0) given.refuse(`${name}A`, 'must have a column');
  given.match(`${name}B`, [rank, shape[1]]);
  given.finite(-Infinity, `${name}Scale`);
};

/** How many int32 have a matrix packed. */
function wordsOf([rows, columns]: readonly number[]): number {
  return Math.ceil((rows! * columns!) / 2);
}

function attention(
  given: KernelArguments,
  tokens: number,
  hidden: number,
  weight = floatWeight,
): AttentionSizes {
  const [length, half] = given.matrix('cos');
  given.match('sin', [length, half]);
  if (length * half === 0) given.fail(`input 'cos' must not be empty; got ${given.text('cos')}`);
  if (tokens % length !== 0) {
    given.fail(`input 'x' must have rows for sequences of ${length} tokens; got ${tokens}`);
  }
  // which TensorFlow cannot take apart by heads
  if (tokens === 0 && given.backendName === 'tensorflow') given.refuse('x', 'must have a token');
  const keyHeads = given.integer('keyHeads', 1);
  const group = given.integer('heads', 1) / keyHeads;
  if (!Number.isInteger(group)) {
    given.fail(`heads must be a multiple of keyHeads; got ${keyHeads * group} and ${keyHeads}`);
  }
  if (given.attr('window') !== undefined) given.integer('window', 1);
  const width = 2 * half;
  const [queries, keys] = [group * keyHeads * width, keyHeads * width];
  weight(given, 'q', [hidden, queries]);
  for (const name of ['k', 'v']) weight(given, name, [hidden, keys]);
  if (['qBias', 'kBias', 'vBias'].some((name) => given.has(name))) {
    given.match('qBias', [queries]);
    given.alike([keys], 'kBias', 'vBias');
  }
  return {batch: tokens / length, length, tokens, keyHeads, group, width, queries, keys};
}

/** Queries, keys and values as the backend's kernel returned them. */
function heads(given: KernelArguments, sizes: AttentionSizes): void {
  const {batch, length, tokens, keyHeads, group, width, queries, keys} = sizes;
  const isByToken = given.backendName === 'wasm';
  const stack = batch * keyHeads;
  given.match('queries', isByToken ? [tokens, queries] : [stack, group, length, width]);
  given.alike(isByToken ? [tokens, keys] : [stack, length, width], 'keys', 'values');
}

/** The weights of all queries, in pieces of some positions each: for each query that of each key that a query of its piece sees. */
function attentionWeights(given: KernelArguments, sizes: AttentionSizes): void {
  const {batch, length, keyHeads, group} = sizes;
  let queries = 0;
  for (let i = 0; given.has(`weights${i}`); i++) {
    const name = `weights${i}`;
    const [, rows, keys] = given.match(name, [batch * keyHeads, null, null]) as Size3D;
    if (keys > length || keys < rows / group)
      given.refuse(name, 'must have a column for each key that its queries see');
    queries += rows;
  }
  if (queries > 0 && queries !== group * length)
    given.fail(`weights must have ${group * length} rows in all; got ${queries}`);
}

function attentionSublayer(given: KernelArguments, weight = floatWeight): AttentionSizes {
  const hidden = rows(given, 'x', 'norm');
  const tokens = tf.util.sizeFromShape([...given.shape('x')]) / hidden;
  const sizes = attention(given, tokens, hidden, weight);
  weight(given, 'o', [sizes.queries, hidden]);
  return sizes;
}

function attentionSublayerGrad(
  given: KernelArguments,
  {needsMixed}: {needsMixed: boolean},
): AttentionSizes {
  const sizes = attentionSublayer(given, lowRankWeight);
  given.match('dy', given.shape('x'));
  given.match('scale', [sizes.tokens, 1]);
  if (needsMixed || given.has('mixed')) given.match('mixed', [sizes.tokens, sizes.queries]);
  heads(given, sizes);
  given.flag('withWeightGradients');
  return sizes;
}

function mlp(given: KernelArguments, norm: string): {tokens: number; intermediate: number} {
  const hidden = rows(given, 'x', norm);
  const [, intermediate] = given.match('gate', [hidden, null]) as [number, number];
  for (const name of ['gate', 'up']) lowRankWeight(given, name, [hidden, intermediate]);
  lowRankWeight(given, 'down', [intermediate, hidden]);
  return {tokens: tf.util.sizeFromShape([...given.shape('x')]) / hidden, intermediate};
}

function mlpGrad(given: KernelArguments, norm: string, scale: string): void {
  const {tokens, intermediate} = mlp(given, norm);
  given.match('dy', given.shape('x'));
  given.match(scale, [tokens, 1]);
  given.alike([tokens, intermediate], 'gated', 'upped');
  given.flag('withWeightGradients');
}

function decodeBlock(given: KernelArguments): void {
  const {tokens, length, keyHeads, width} = attentionSublayer(given, anyWeight);
  const hidden = rows(given, 'x', 'mlpNorm');
  const intermediate = given.integer('intermediate', 1);
  for (const name of ['gate', 'up']) anyWeight(given, name, [hidden, intermediate]);
  anyWeight(given, 'down', [intermediate, hidden]);
  if (length !== 1 && length !== tokens) {
    given.fail(`input 'cos' must have 1 or ${tokens} rows; got ${given.text('cos')}`);
  }
  for (const [keys, values] of [
    ['keys', 'values'],
    ['recentKeys', 'recentValues'],
  ] as const) {
    given.match(values, given.match(keys, [tokens, keyHeads, null, width]));
  }
  if (given.has('padding')) given.match('padding', [tokens], 'int32');
}

/** The sizes of a packed matrix of the attribute `columns`. */
function packedMatrix(given: KernelArguments): [rows: number, columns: number] {
  const columns = given.integer('columns', 1);
  const [words] = given.match('packed', [null], 'int32') as [number];
  return [Math.floor((2 * words) / columns), columns];
}
