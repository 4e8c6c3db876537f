/** What trains in a step and how, and what that takes between two steps. */
import {paperMethods, type MethodParts, type PaperMethodName} from '../methods';
import {owloreDefaults} from '../optim/owlore_options';
import {planProjection, projectedShape, stateSize, type Projection} from '../optim/projector';
import type {ResolvedEstimateOptions} from './options';
import {adaptedMatrices} from './adapted_matrices';
import {numbersIn, type ModelSizes, type Shape} from './sizes';
import {bytesOf, type Weight} from './tape';

const FLOAT = 4;

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

/** Whether a method trains what is in no block: embedding, head and last norm. */
export function trainsRest(method: PaperMethodName): boolean {
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  return !lora && sampling?.alwaysOn !== false;
}

/** @throws Error if LoRA's targets are none of the matrices, or differ from block to block. */
export function planTraining(sizes: ModelSizes, options: ResolvedEstimateOptions): TrainingPlan {
  const {blocks, vocabulary, others} = sizes;
  const {method, gamma, rank, embedding, update, basis} = options;
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const count = sampling ? Math.ceil(gamma) : lora ? 0 : blocks.length;
  const isGaLore = update === 'galore';
  const planned = (
    shape: Shape,
    isTrained: boolean,
    isLowRank: boolean,
    tokenAxis: 0 | 1 | null = null,
  ): PlannedWeight => {
    const projection = isLowRank ? planProjection(shape, rank, owloreDefaults.side) : null;
    // terms are for a basis that comes from GᵀG, and where G itself is not needed
    const mayBeInTerms = isGaLore && basis === 'randomized';
    return {
      ...{shape, isTrained, projection, adapterRank: 0},
      isMovedWhole: projection !== null && !isGaLore,
      tokenAxis: mayBeInTerms ? tokenAxis : null,
    };
  };
  const adapted = lora ? adaptedMatrices(sizes, options.targets) : null;
  // The first block, so that the backward pass goes through all of them, and others at equal distances.
  const on = new Set(
    Array.from({length: count}, (_, i) => Math.floor((i * blocks.length) / count)),
  );
  return {
    blocks: blocks.map((shapes, i) =>
      shapes.map((shape, k) => ({
        ...planned(shape, on.has(i), lowRank),
        adapterRank: adapted?.(k, shape) ? rank : 0,
      })),
    ),
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
  };
}

function adaptersOf({blocks}: TrainingPlan): PlannedWeight[] {
  return blocks.flat().flatMap(({shape, adapterRank}) => {
    if (adapterRank === 0) return [];
    const [rows, columns] = shape as [number, number];
    return [
      [rows, adapterRank],
      [adapterRank, columns],
    ].map((own) => ({
      ...{shape: own, isTrained: true, projection: null, isMovedWhole: false},
      ...{tokenAxis: null, adapterRank: 0},
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
  const all = [...plan.blocks.flat(), ...plan.vocabulary, ...plan.others, ...adaptersOf(plan)];
  return all.filter(({isTrained}) => isTrained);
}
