/**
 * The sides of a projection, and two scales, by held-out loss and size of state, on a real checkpoint and beside full Adam.
 *
 *   npm run bench -- side_training FOLDER --data FILE --held-out FILE   # a LLaMA-style checkpoint; jsonl files of examples
 *   npm run bench -- side_training … --rates 1e-4,4e-4 --seeds 1,2 --blocks 20,25,29 --steps 30
 *
 * Full Adam has the same rate. Some blocks train and the rest is frozen, so everything before the first of them is computed only once for
 * each batch. A seed determines the order of the examples; all runs with the same seed have the same batches.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {selectBackend} from '../../tools/select_backend';
import {loadLlama, loadTokenizer, sparseCrossEntropy, textDataset} from '../../src/llama';
import {registeredVariable} from '../../src/owlore/optimizer/state/variables';
import type {OwLoreOptions} from '../../src/owlore/optimizer/options';
import {OwLoreOptimizer} from '../../src/owlore/owlore_optimizer';
import {markdownTable} from '../tables/document';

const {values: flags, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    data: {type: 'string'},
    'held-out': {type: 'string'},
    blocks: {type: 'string', default: '20,25,29'},
    steps: {type: 'string', default: '30'},
    rates: {type: 'string', default: '4e-4'},
    seeds: {type: 'string', default: '1,2'},
    only: {type: 'string', default: ''},
  },
});
const numbers = (list: string): number[] => list.split(',').map(Number);
const blocks = numbers(flags.blocks);
const steps = Number(flags.steps);
const HELD_OUT_BATCHES = 12;

await selectBackend();
const {model} = await loadLlama(positionals[0]!);
const tokenizer = await loadTokenizer(positionals[0]!);
const from = model.layers.findIndex(({name}) => name === `model.layers.${Math.min(...blocks)}`);
const [before, after] = [model.layers.slice(1, from), model.layers.slice(from)];
const head = model.layers.find(({name}) => name === 'lm_head') ?? model.layers[1]!;
const isApart = after.includes(head);
const variables = blocks
  .flatMap((block) => model.getLayer(`model.layers.${block}`).trainableWeights)
  .flatMap(({name}) => registeredVariable(name) ?? []);
const first = variables.map((variable) => tf.clone(variable));

/** What goes into the first trained block, and labels. */
interface Batch {
  hidden: tf.Tensor;
  labels: tf.Tensor;
}

async function batches(file: string, count: number, seed: number): Promise<Batch[]> {
  const dataset = textDataset(file, tokenizer, {maxLength: 128, batchSize: 4, seed});
  const all: Batch[] = [];
  for await (const {xs, ys} of dataset) {
    all.push({hidden: tf.tidy(() => through(before, xs)), labels: ys});
    xs.dispose();
    if (all.length === count) break;
  }
  return all;
}

function through(layers: readonly tfl.layers.Layer[], x: tf.Tensor): tf.Tensor {
  return layers.reduce((hidden, layer) => layer.apply(hidden) as tf.Tensor, x);
}

function lossOf({hidden, labels}: Batch): tf.Scalar {
  return tf.tidy(() => {
    const last = through(after, hidden);
    return sparseCrossEntropy(labels, isApart ? last : (head.apply(last) as tf.Tensor));
  });
}

async function heldOutLoss(all: readonly Batch[]): Promise<number> {
  let sum = 0;
  for (const batch of all) {
    const loss = lossOf(batch);
    sum += (await loss.data())[0]!;
    loss.dispose();
  }
  return sum / all.length;
}

interface Run {
  title: string;
  options: OwLoreOptions;
}

const allRuns: Run[] = [
  {title: 'full Adam', options: {project: false}},
  ...([1, 'auto'] as const).flatMap((scale) =>
    (['paper', 'left', 'auto'] as const).map((side) => ({
      title: `\`${side}\`, scale ${scale}`,
      options: {side, scale, project: /./},
    })),
  ),
];
const runs = allRuns.filter(({title}) => new RegExp(flags.only).test(title));

async function train(
  {options}: Run,
  learningRate: number,
  data: readonly Batch[],
): Promise<{loss: number; megabytes: number}> {
  variables.forEach((variable, i) => variable.assign(first[i]!));
  const optimizer = new OwLoreOptimizer({learningRate, ...options});
  for (const batch of data) {
    const {value, grads} = optimizer.computeGradients(() => lossOf(batch), variables);
    optimizer.applyGradients(grads);
    tf.dispose([value, grads]);
  }
  const megabytes = optimizer.stateBytes / 1e6;
  optimizer.dispose();
  return {loss: await heldOutLoss(heldOut), megabytes};
}

const heldOut = await batches(flags['held-out']!, HELD_OUT_BATCHES, 1);
console.log(`before: ${(await heldOutLoss(heldOut)).toFixed(4)}`);
const rates = numbers(flags.rates);
/** Of each run its state, and the losses by rate and seed. */
const results = runs.map((run) => ({
  ...run,
  state: 0,
  losses: rates.map((): number[] => []),
}));
for (const seed of numbers(flags.seeds)) {
  const data = await batches(flags.data!, steps, seed);
  for (const [i, rate] of rates.entries()) {
    for (const result of results) {
      const {loss, megabytes} = await train(result, rate, data);
      console.log(`seed ${seed}, rate ${rate}, ${result.title}: ${loss.toFixed(4)}`);
      result.state = megabytes;
      result.losses[i]!.push(loss);
    }
  }
  for (const {hidden, labels} of data) tf.dispose([hidden, labels]);
}
console.log(
  markdownTable(
    ['run', 'state, MB', ...rates.map((rate) => `rate ${rate}`)],
    results.map(({title, state, losses}) => [
      title,
      state.toFixed(1),
      ...losses.map((bySeed) => bySeed.map((loss) => loss.toFixed(4)).join(', ')),
    ]),
  ),
);
