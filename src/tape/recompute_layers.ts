import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {isModel, matrixCount, weightShapes} from '../tfjs/layer_tree';
import {connectedLayers, interceptLayers, usesOf} from '../tfjs/models';
import {recomputeGrad} from './recompute';

type Layer = tfl.layers.Layer;

/** The choices of {@link GradientCheckpointing}. */
export const gradientCheckpointingChoices = ['auto', 'blocks', 'none'] as const;

/**
 * Which layers of a model are recomputed: `'blocks'`, each layer of two or more matrices; `'auto'`, these where a model has at
 * least three of them and, when they run again, those layers inside of them that are worth it, and the attention of
 * `createLlama`; `'none'`.
 */
export type GradientCheckpointing = (typeof gradientCheckpointingChoices)[number];

/**
 * What is recomputed of the layers that run now: the blocks; in the second run of a block with `'auto'`, its parts; of a block whose
 * model has too few of them, nothing. Null where nobody asks for it.
 */
let running: 'blocks' | 'parts' | 'nothing' | null = null;

/**
 * How many times as large as its weights the inputs of a part must be for the part to be recomputed. It then runs a third time, so
 * that its tensors and those of the rest of the block are not held together. That is worthwhile if its tensors are larger than the
 * weights, their gradients and their optimizer state; below this ratio they are a few percent of these.
 */
const INPUT_TO_WEIGHT_RATIO = 2;

/**
 * How many blocks a model must have for `'auto'` to recompute them. One that runs again is remembered as a whole then: of two blocks,
 * half would be remembered all the same, for a third more time; of a single one, such as a recurrent layer, all of it.
 */
const LEAST_BLOCKS = 3;

/** Whether the blocks of a model that has so many are recomputed. */
export function areBlocksRecomputed(which: GradientCheckpointing, blocks: number): boolean {
  return which === 'blocks' || (which === 'auto' && blocks >= LEAST_BLOCKS);
}

/** Whether a layer of a model is recomputed. */
export function isRecomputed(layer: Layer, which: GradientCheckpointing): boolean {
  return isBlock(layer) && areBlocksRecomputed(which, blocksAround(layer));
}

/**
 * Runs `body` and recomputes the blocks of a model: each layer of two or more matrices, custom or a nested model, but not a
 * nested model in which such layers repeat. A stateful recurrent layer is not recomputed, because its second run would start from
 * another state.
 */
export function withRecomputedLayers<T>(which: GradientCheckpointing, body: () => T): T {
  return which === 'none' ? body() : withSegments('blocks', which, body);
}

/** Runs `body` with its layers as segments: blocks or, inside of a block, parts of it. */
function withSegments<T>(kind: 'blocks' | 'parts', which: 'auto' | 'blocks', body: () => T): T {
  if (running) return body();
  const intercepted = (): T =>
    interceptLayers((layer, run, inputs, kwargs) => {
      const tensors: Array<tf.Tensor | tfl.SymbolicTensor> = [inputs].flat();
      // All are symbolic or none is, as tfjs checks.
      if (!(tensors[0] instanceof tf.Tensor) || !isBlock(layer)) return run(inputs, kwargs);
      if (kind === 'blocks' && !areBlocksRecomputed(which, blocksAround(layer))) {
        return runningAs('nothing', () => run(inputs, kwargs));
      }
      if (kind === 'parts' && !isWorthwhile(tensors, layer.weights)) return run(inputs, kwargs);
      // The executor goes on to change the object that it passes, and a layer may change its own list of inputs.
      const ownKwargs = {...kwargs};
      const segment = recomputeGrad(() => {
        const ownInputs = (Array.isArray(inputs) ? [...inputs] : inputs) as tf.Tensor[];
        const call = (): tf.Tensor => run(ownInputs, {...ownKwargs}) as tf.Tensor;
        return which === 'auto' ? withSegments('parts', which, call) : runningAs('blocks', call);
      });
      return segment();
    }, body);
  return runningAs(kind, intercepted);
}

/** Runs `body` as a forward pass of which the blocks, the parts or nothing is recomputed. */
function runningAs<T>(kind: NonNullable<typeof running>, body: () => T): T {
  const before = running;
  running = kind;
  try {
    return body();
  } finally {
    running = before;
  }
}

/**
 * Marks a part of a layer's forward pass. With `'auto'`, when the layer runs again, the part is a segment of its own and is
 * recomputed once more, so that the layer's parts are not remembered all together. The last part needs no mark: the backward
 * pass begins with it, when nothing else is remembered.
 *
 * @param weights What the part reads of the layer's weights.
 */
export function recomputedPart<Inputs extends tf.Tensor[], Result extends tf.Tensor>(
  f: (...inputs: Inputs) => Result,
  weights: readonly tf.Tensor[],
): (...inputs: Inputs) => Result {
  return (...inputs) => (isPartRecomputed(inputs, weights) ? recomputeGrad(f) : f)(...inputs);
}

/** Whether layers are recomputed now, or what runs now is inside of one that is, in its first run or in its second. */
export function areLayersRecomputed(): boolean {
  return running === 'blocks' || running === 'parts';
}

/** Whether {@link recomputedPart} makes a part with these inputs and weights a segment now. */
export function isPartRecomputed(
  inputs: readonly tf.Tensor[],
  weights: readonly tf.Tensor[],
): boolean {
  return running === 'parts' && isWorthwhile(inputs, weights);
}

function isWorthwhile(inputs: readonly Sized[], weights: readonly Sized[]): boolean {
  return sizeOf(inputs) >= INPUT_TO_WEIGHT_RATIO * sizeOf(weights);
}

type Sized = Pick<tf.Tensor | tfl.LayerVariable, 'shape'>;

function sizeOf(tensors: readonly Sized[]): number {
  return tensors.reduce((sum, {shape}) => sum + tf.util.sizeFromShape(shape as number[]), 0);
}

/**
 * Whether a layer can be recomputed as a segment of its own. A model that is no layer of another one cannot, whether `fit` runs its
 * layers or a custom loop calls it: if the whole pass were one segment, it would take twice the time and hold as much.
 */
function isBlock(layer: Layer): boolean {
  if (layer.stateful || matrixCount(layer) < 2) return false;
  return !isModel(layer) || (usesOf(layer) > 0 && !holdsBlocks(layer));
}

/** How many blocks run in a pass of the model that a layer is in: one that is used twice counts twice. */
function blocksAround(layer: Layer): number {
  const uses = connectedLayers(layer).filter(isBlock).map(usesOf);
  return uses.reduce((sum, each) => sum + each, 0);
}

/** Whether a model is a body of blocks, as `findBlocks` knows them, and not a block itself. */
function holdsBlocks(model: tfl.LayersModel): boolean {
  const shapes = model.layers.filter(isBlock).map(weightShapes);
  return new Set(shapes).size < shapes.length;
}
