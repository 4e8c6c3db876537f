/**
 * How much of later gradients a basis made from one gradient captures, on either side of a projection.
 *
 *   npm run bench -- side_energy FOLDER --data FILE      # a LLaMA-style checkpoint with its tokenizer; a jsonl file of examples
 *
 * In some blocks of a real checkpoint. A basis is made from the gradient of one batch, as at a refresh. The figures are ‖PᵀG‖² of the
 * gradients of other batches, in per cent of ‖G‖², at the same weights: for `auto`, and for `paper` at the default rank and at the rank where
 * its state has the same size as that of `auto`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {selectBackend} from '../../tools/select_backend';
import {loadLlama, loadTokenizer, sparseCrossEntropy, textDataset} from '../../src/llama';
import {randomizedBasis} from '../../src/owlore/optimizer/state/basis';
import {registeredVariable} from '../../src/owlore/optimizer/state/variables';
import {
  planProjection,
  project,
  stateSize,
  type Projection,
} from '../../src/owlore/optimizer/state/projector';
import {owloreDefaults} from '../../src/owlore/optimizer/options';
import {OwLoreOptimizer} from '../../src/owlore/owlore_optimizer';
import {markdownTable} from '../tables/document';

const {values: flags, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    data: {type: 'string'},
    batches: {type: 'string', default: '4'},
    blocks: {type: 'string', default: '0,14,29'},
  },
});
await selectBackend();
const optimizer = new OwLoreOptimizer();
const {model} = await loadLlama(positionals[0]!);
const tokenizer = await loadTokenizer(positionals[0]!);
const dataset = textDataset(flags.data!, tokenizer, {maxLength: 128, batchSize: 4});
const names = flags.blocks.split(',').map((block) => `model.layers.${block}`);
const weights = names.flatMap((name) => model.getLayer(name).trainableWeights);
const variables = weights
  .flatMap(({name}) => registeredVariable(name) ?? [])
  .filter(({rank}) => rank === 2);
const {rank: defaultRank} = owloreDefaults;

interface Choice {
  title: string;
  of(shape: number[]): Projection;
}

const choices: Choice[] = [
  {title: 'paper', of: (shape) => planProjection(shape, defaultRank, 'paper')!},
  {title: "paper, bytes of 'auto'", of: withBytesOfAuto},
  {title: 'auto', of: (shape) => planProjection(shape, defaultRank, 'auto')!},
];

/** The paper's side at the highest rank that takes no more than the other one at the default rank. */
function withBytesOfAuto(shape: number[]): Projection {
  const limit = stateSize(planProjection(shape, defaultRank, 'auto')!);
  let rank = defaultRank;
  while (stateSize(planProjection(shape, rank, 'paper')!) > limit) rank--;
  return planProjection(shape, rank, 'paper')!;
}

const bases = new Map<string, tf.Tensor2D[]>();
/** By shape, then by choice: shares of the energy. */
const shares = new Map<string, number[][]>();
let count = 0;
for await (const {xs, ys} of dataset) {
  const {value, grads} = optimizer.computeGradients(
    () => tf.tidy(() => tf.mean(sparseCrossEntropy(ys, model.apply(xs) as tf.Tensor))),
    variables,
  );
  for (const {name, shape} of variables) {
    const gradient = grads[name] as tf.Tensor2D;
    if (count === 0)
      bases.set(
        name,
        choices.map((choice) => basisOf(gradient, choice.of(shape))),
      );
    else await compare(name, shape, gradient);
  }
  tf.dispose([value, grads, xs, ys]);
  if (++count === Number(flags.batches)) break;
}

const header = ['shape', ...choices.map(({title}) => title)];
const rows = [...shares].map(([shape, byChoice]) => [
  shape,
  ...byChoice.map((values) => {
    const mean = values.reduce((sum, share) => sum + share, 0) / values.length;
    return `${(100 * mean).toFixed(0)} % (${(100 * Math.min(...values)).toFixed(0)} to ${(100 * Math.max(...values)).toFixed(0)})`;
  }),
]);
console.log(markdownTable(header, rows));

function basisOf(gradient: tf.Tensor2D, {side, rank}: Projection): tf.Tensor2D {
  return tf.tidy(() => {
    const oriented = side === 'left' ? gradient : tf.transpose(gradient);
    return randomizedBasis(oriented, rank, null, '');
  });
}

async function compare(name: string, shape: number[], gradient: tf.Tensor2D): Promise<void> {
  const key = shape.join('×');
  const energy = await squaredNorm(gradient);
  for (const [i, choice] of choices.entries()) {
    const projected = project(gradient, bases.get(name)![i]!, choice.of(shape));
    const all = shares.get(key) ?? choices.map(() => []);
    shares.set(key, all);
    all[i]!.push((await squaredNorm(projected)) / energy);
    projected.dispose();
  }
}

async function squaredNorm(tensor: tf.Tensor): Promise<number> {
  const norm = tf.tidy(() => tf.sum(tf.square(tensor)));
  const [value] = await norm.data();
  norm.dispose();
  return value!;
}
