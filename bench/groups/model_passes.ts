/**
 * Forward and backward pass of the reference model by `createLlama`, against the same model as tfjs users compose it, of
 * tfjs's own ops: on the same tape, with the same kernels, from the same weights, on the same batch, in turns:
 *
 *   npm run bench -- performance --only model
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {howToGet, loadBackend, type BackendName} from '../../tools/load_backend';
import * as tensorflow from '../../src/kernels/tensorflow';
import * as wasm from '../../src/kernels/wasm';
import {sparseCrossEntropy} from '../../src/llama';
import {registeredVariable} from '../../src/owlore/optimizer/state/variables';
import {streamVariableGrads} from '../../src/tape/tfjs_gradients';
import * as composed from '../../tools/composed';
import type {Figure} from '../results/figure';
import type {GroupResult, MeasureGroup} from './group';
import {median} from '../harness/statistics';
import {shapeOf, trainedSets, Training, type Shape} from '../harness/workload';

/** After 16 runs with the same shapes the kernels on tensorflow become graphs. */
const WARM_UP_PASSES = 18;

/** How far two losses may be apart that are computed by different ops. */
const SAME_LOSS = 1e-4;

interface Setup {
  backend: BackendName;
  title: string;
  warmUp: number;
  prepare?: () => Promise<void>;
}

const setups: readonly Setup[] = [
  // Before those that install kernels.
  {backend: 'tensorflow', title: "tensorflow with tfjs's kernels alone", warmUp: 1},
  {
    backend: 'tensorflow',
    title: 'tensorflow',
    warmUp: WARM_UP_PASSES,
    prepare: tensorflow.installKernels,
  },
  {backend: 'wasm', title: 'wasm', warmUp: 1, prepare: wasm.installKernels},
];

/** For ten rounds one minute. */
export const measure: MeasureGroup = async ({tiny, rounds = 10}) => {
  const result: Required<GroupResult> = {figures: [], measured: {}, skipped: []};
  for (const {backend, title, warmUp, prepare} of setups) {
    if (!(await loadBackend(backend))) {
      result.skipped.push(`${title}: needs ${howToGet[backend]}`);
      continue;
    }
    await tf.setBackend(backend);
    await prepare?.();
    const milliseconds = await measurePasses(shapeOf({tiny}), warmUp, rounds);
    result.figures.push(figure(title, milliseconds));
    Object.assign(result.measured, {[title]: {milliseconds}});
  }
  return result;
};

interface PassMedians {
  composed: number;
  createLlama: number;
}

async function measurePasses(shape: Shape, warmUp: number, rounds: number): Promise<PassMedians> {
  const trained = trainedSets.full;
  const own = new Training({shape, trained, variant: 'none'});
  const other = new Training({shape, trained, variant: 'stock'});
  other.model.setWeights(own.model.getWeights());
  const sides = {
    composed: () => passes(other, composed.sparseCrossEntropy),
    createLlama: () => passes(own, sparseCrossEntropy),
  };
  const times: Record<keyof PassMedians, number[]> = {composed: [], createLlama: []};
  for (let round = -warmUp; round < rounds; round++) {
    const losses: number[] = [];
    for (const side of ['composed', 'createLlama'] as const) {
      const start = performance.now();
      losses.push(await sides[side]());
      if (round >= 0) times[side].push(performance.now() - start);
    }
    const [a, b] = losses as [number, number];
    if (!(Math.abs(a - b) <= SAME_LOSS * a)) throw new Error(`the losses are ${a} and ${b}`);
  }
  own.dispose();
  other.dispose();
  return {composed: median(times.composed), createLlama: median(times.createLlama)};
}

/** The loss of a model, after its gradients by all weights, which are thrown away. */
async function passes(
  {model, batch: [ids, labels]}: Training,
  loss: (labels: tf.Tensor, logits: tf.Tensor) => tf.Tensor,
): Promise<number> {
  const variables = model.trainableWeights.flatMap(({name}) => registeredVariable(name) ?? []);
  const value = streamVariableGrads(
    () => tf.mean(loss(labels, model.apply(ids, {training: true}) as tf.Tensor)),
    variables,
    (_variable, gradient) => gradient.dispose(),
  );
  const [number] = await value.data();
  value.dispose();
  return number!;
}

function figure(title: string, {composed, createLlama}: PassMedians): Figure {
  return {
    name: `Forward and backward pass of W1 by createLlama on ${title}: time, against W1 composed of tfjs's ops`,
    value: createLlama / composed,
    unit: 'times',
    goal: {atMost: 1},
  };
}
