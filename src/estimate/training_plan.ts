/** What trains in a step and how, and what that takes between two steps. */
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import {owloreDefaults} from '../optim/owlore_options';
import {planProjection, projectedShape, stateSize, type Projection} from '../optim/projector';
import type {ResolvedEstimateOptions} from './options';
import {adaptedMatrices} from './adapted_matrices';
import {numbersIn, type ModelSizes, type Shape} from './sizes';
import {FLOAT, bytesOf, type Weight} from './tape';
import {updateRules} from '../optim/rules';

/** A weight that trains or not, and how. */
export interface PlannedWeight extends Weight {
  projection: Projection | null;
  /** Whether its whole gradient moves it, although it is projected: `update` is not `'galore'`. */
  isMovedWhole: boolean;
  /** Rank of the adapter beside it; 0: none. */
  adapterRank: number;
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
}

/** How the optimizer treats a weight. */
export function planned(
  shape: Shape,
  isTrained: boolean,
  projection: Projection | null,
  {update}: ResolvedEstimateOptions,
): PlannedWeight {
  const isMovedWhole = projection !== null && updateRules[update].needsWholeGradient;
  return {shape, isTrained, projection, isMovedWhole, adapterRank: 0, tokenAxis: null};
}

/** Which of a number of blocks are on: the first one, so that the backward pass goes through all, and others at equal distances. */
export function blocksOn(count: number, {method, gamma}: ResolvedEstimateOptions): boolean[] {
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  const most = sampling ? Math.ceil(gamma) : lora ? 0 : count;
  const on = new Set(Array.from({length: most}, (_, i) => Math.floor((i * count) / most)));
  return Array.from({length: count}, (_, i) => on.has(i));
}

/**
 * The plan of a LLaMA-style model.
 *
 * @throws Error if LoRA's targets are none of the matrices, or differ from block to block, or if a rank is too large to train.
 */
export function planTraining(sizes: ModelSizes, options: ResolvedEstimateOptions): TrainingPlan {
  const {blocks, vocabulary, others} = sizes;
  const {method, rank, embedding, update, basis} = options;
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const projectionOf = (shape: Shape): Projection | null =>
    planProjection(shape, rank, owloreDefaults.side);
  const adapted = lora ? adaptedMatrices(sizes, options) : null;
  const isOn = blocksOn(blocks.length, options);
  // terms are for a basis that comes from GᵀG, and where G itself is not needed
  const mayBeInTerms = !updateRules[update].needsWholeGradient && basis === 'randomized';
  return {
    blocks: blocks.map((shapes, i) =>
      shapes.map((shape, k) => ({
        ...planned(shape, isOn[i]!, lowRank ? projectionOf(shape) : null, options),
        adapterRank: adapted?.[k] ? rank : 0,
      })),
    ),
    isOn,
    vocabulary: vocabulary.map((shape, i) => {
      const isTrained = trainsRest(method) && embedding !== 'frozen';
      if (embedding === 'low-rank') checkLowRank(shape, projectionOf(shape), rank);
      // Without a callback the optimizer does not know blocks, and projects all but the embedding.
      const isLowRank = embedding === 'low-rank' || (lowRank && !sampling && i > 0);
      return {
        ...planned(shape, isTrained, isLowRank ? projectionOf(shape) : null, options),
        tokenAxis: mayBeInTerms ? (i === 0 ? 0 : 1) : null,
      };
    }),
    others: others.map((shape) => planned(shape, trainsRest(method), null, options)),
  };
}

/** @throws Error if embedding or head cannot be projected. */
function checkLowRank(shape: Shape, projection: Projection | null, rank: number): void {
  if (projection) return;
  throw new Error(
    `estimateMemory: embedding 'low-rank' is not possible at rank ${rank}: a matrix of embedding and head is ` +
      `[${shape.join(', ')}], and a rank below both sizes that makes the state of the optimizer smaller is needed`,
  );
}

function allIn({blocks, vocabulary, others}: TrainingPlan): PlannedWeight[] {
  return [...blocks.flat(), ...vocabulary, ...others];
}

/** The shapes of A and B beside a matrix; none for rank 0. */
export function adapterShapes(shape: Shape, rank: number): Shape[] {
  if (rank === 0) return [];
  const [rows, columns] = shape as [number, number];
  return [
    [rows, rank],
    [rank, columns],
  ];
}

function adaptersOf(plan: TrainingPlan): PlannedWeight[] {
  return allIn(plan).flatMap(({shape, adapterRank}) => {
    return adapterShapes(shape, adapterRank).map((own) => ({
      ...{shape: own, isTrained: true, projection: null, isMovedWhole: false},
      ...{tokenAxis: null, adapterRank: 0},
    }));
  });
}

export function weightBytes(plan: TrainingPlan, {frozenDtype}: ResolvedEstimateOptions): number {
  return [...allIn(plan), ...adaptersOf(plan)].reduce((sum, weight) => {
    const isPacked = frozenDtype === 'BF16' && !weight.isTrained && weight.shape.length === 2;
    return sum + bytesOf(weight) / (isPacked ? 2 : 1);
  }, 0);
}

export function stateBytes({shape, projection, isMovedWhole}: PlannedWeight): number {
  // the norm by which that of the next step is limited
  const limit = isMovedWhole ? 1 : 0;
  return FLOAT * (projection ? stateSize(projection) + limit : 2 * numbersIn([shape]));
}

/** Of its gradient while that waits for those of the others: projected, if it will be, and whole where that moves it. */
export function waitingBytes({shape, projection, isMovedWhole}: PlannedWeight): number {
  const shapes = projection
    ? [projectedShape(projection), ...(isMovedWhole ? [shape] : [])]
    : [shape];
  return FLOAT * numbersIn(shapes);
}

/** Of the sum of its gradients between the batches of a step. */
export function sumBytes(weight: PlannedWeight): number {
  return weight.isMovedWhole ? bytesOf(weight) : waitingBytes(weight);
}

/** Whether the gradient of embedding or head comes as factors, and is never made. */
export function isInTerms({isTrained, projection, tokenAxis}: PlannedWeight): boolean {
  if (!isTrained || !projection || tokenAxis === null) return false;
  return tokenAxis === (projection.side === 'right' ? 0 : 1);
}

/** All weights that train. */
export function trainedIn(plan: TrainingPlan): PlannedWeight[] {
  return [...allIn(plan), ...adaptersOf(plan)].filter(({isTrained}) => isTrained);
}
