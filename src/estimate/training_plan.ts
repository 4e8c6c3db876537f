/** What trains in a step and how, and what that takes between two steps. */
import {paperMethods, type MethodParts, type PaperMethodName} from '../methods';
import {owloreDefaults} from '../optim/owlore_options';
import {planProjection, projectedShape, stateSize, type Projection} from '../optim/projector';
import type {ResolvedEstimateOptions} from './options';
import {numbersIn, type ModelSizes, type Shape} from './sizes';
import {bytesOf, type Weight} from './tape';

const FLOAT = 4;

/** A weight that trains or not, and how. */
export interface PlannedWeight extends Weight {
  projection: Projection | null;
  /** The axis that counts tokens, of embedding and head, whose gradients may come in terms; null of others. */
  tokenAxis: 0 | 1 | null;
}

/** What trains in a step, and how. */
export interface TrainingPlan {
  /** By block. */
  blocks: PlannedWeight[][];
  isOn: boolean[];
  vocabulary: PlannedWeight[];
  others: PlannedWeight[];
  adapterRank: number;
}

/** Whether a method trains what is in no block: embedding, head and last norm. */
export function trainsRest(method: PaperMethodName): boolean {
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  return !lora && sampling?.alwaysOn !== false;
}

export function planTraining(
  {blocks, vocabulary, others}: ModelSizes,
  {method, gamma, rank, embedding}: ResolvedEstimateOptions,
): TrainingPlan {
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const count = sampling ? Math.ceil(gamma) : lora ? 0 : blocks.length;
  const planned = (
    shape: Shape,
    isTrained: boolean,
    isLowRank: boolean,
    tokenAxis: 0 | 1 | null = null,
  ): PlannedWeight => ({
    ...{shape, isTrained, tokenAxis},
    projection: isLowRank ? planProjection(shape, rank, owloreDefaults.side) : null,
  });
  // The first block, so that the backward pass goes through all of them, and others at equal distances.
  const on = new Set(
    Array.from({length: count}, (_, i) => Math.floor((i * blocks.length) / count)),
  );
  return {
    blocks: blocks.map((shapes, i) => shapes.map((shape) => planned(shape, on.has(i), lowRank))),
    isOn: blocks.map((_, i) => on.has(i)),
    // Without a callback the optimizer does not know blocks, and projects all but the embedding.
    vocabulary: vocabulary.map((shape, i) =>
      planned(
        shape,
        trainsRest(method) && embedding !== 'frozen',
        embedding === 'low-rank' || (lowRank && !sampling && i > 0),
        i === 0 ? 0 : 1,
      ),
    ),
    others: others.map((shape) => planned(shape, trainsRest(method), false)),
    adapterRank: lora ? rank : 0,
  };
}

function adaptersOf({blocks, adapterRank}: TrainingPlan): PlannedWeight[] {
  if (adapterRank === 0) return [];
  return blocks.flat().flatMap(({shape}) => {
    const [rows, columns] = shape;
    if (columns === undefined) return [];
    return [
      [rows!, adapterRank],
      [adapterRank, columns],
    ].map((own) => ({
      ...{shape: own, isTrained: true, projection: null, tokenAxis: null},
    }));
  });
}

export function weightBytes(plan: TrainingPlan, {frozen}: ResolvedEstimateOptions): number {
  const all = [...plan.blocks.flat(), ...plan.vocabulary, ...plan.others];
  return [...all, ...adaptersOf(plan)].reduce((sum, weight) => {
    const isPacked = frozen === 'BF16' && !weight.isTrained && weight.shape.length === 2;
    return sum + bytesOf(weight) / (isPacked ? 2 : 1);
  }, 0);
}

export function stateBytes({shape, projection}: PlannedWeight): number {
  return FLOAT * (projection ? stateSize(projection) : 2 * numbersIn([shape]));
}

/** Of its gradient while that waits for those of the others: projected, if it will be. */
export function waitingBytes({shape, projection}: PlannedWeight): number {
  return FLOAT * numbersIn([projection ? projectedShape(projection) : shape]);
}

/** Whether the gradient of embedding or head comes as factors, and is never made. */
export function isInTerms({isTrained, projection, tokenAxis}: PlannedWeight): boolean {
  if (!isTrained || !projection || tokenAxis === null) return false;
  return tokenAxis === (projection.side === 'right' ? 0 : 1);
}

/** All weights that train. */
export function trainedIn(plan: TrainingPlan): PlannedWeight[] {
  const all = [...plan.blocks.flat(), ...plan.vocabulary, ...plan.others, ...adaptersOf(plan)];
  return all.filter(({isTrained}) => isTrained);
}
