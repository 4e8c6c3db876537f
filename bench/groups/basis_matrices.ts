/** Square matrices of which a basis is found, with the most that one of that rank can capture of each. */
import * as tf from '@tensorflow/tfjs-core';
import {finetuningTexts} from '../../tools/texts';
import {createLlama, sparseCrossEntropy} from '../../src/llama';
import {exactBasis} from '../../src/owlore/optimizer/state/basis';
import {orthonormalize} from '../../src/owlore/optimizer/state/orthonormalize';
import {variableGrads} from '../../src/tape/tfjs_gradients';

/** Of the matrices, and of their bases. */
export interface BasisSize {
  width: number;
  rank: number;
}

/** Steps of training before the earlier gradient, and from that to the later one. */
const STEPS = 10;

export interface BasisMatrix {
  title: string;
  values: Float32Array;
  /** What it was at the refresh before. */
  earlier: Float32Array;
  /** ‖PᵀG‖² of the exact basis, as a part of ‖G‖². */
  exactPart: number;
}

/** A layer in a LLaMA-style model that is trained on a novel, byte by byte: its gradient after 10 and 20 steps. */
function layerGradients(width: number): {earlier: tf.Tensor2D; later: tf.Tensor2D} {
  const [batch, length] = [8, 128];
  const model = createLlama({
    vocabSize: 256,
    hiddenSize: width,
    intermediateSize: (43 / 16) * width,
    numHiddenLayers: 1,
    numAttentionHeads: 8,
    maxPositionEmbeddings: length,
    seed: 1,
  });
  const optimizer = tf.train.adam(3e-4);
  const text = Buffer.from(finetuningTexts().train.join('\n'));
  let place = 0;
  const nextBatch = (): tf.Tensor2D => {
    const rows = Array.from({length: batch}, () => {
      // pages apart, and other ones in each batch
      place = (place + 5003) % (text.length - length - 1);
      return [...text.subarray(place, place + length + 1)];
    });
    return tf.tensor2d(rows, [batch, length + 1], 'int32');
  };
  const gradients = (): tf.NamedTensorMap =>
    tf.tidy(() => {
      const bytes = nextBatch();
      const ids = tf.slice(bytes, [0, 0], [batch, length]);
      const labels = tf.slice(bytes, [0, 1], [batch, length]);
      return variableGrads(() => sparseCrossEntropy(labels, model.apply(ids) as tf.Tensor)).grads;
    });
  const train = (): void => {
    for (let step = 0; step < STEPS; step++) {
      const all = gradients();
      optimizer.applyGradients(Object.entries(all).map(([name, tensor]) => ({name, tensor})));
      tf.dispose(all);
    }
  };
  const layerGradient = (): tf.Tensor2D => {
    const all = Object.entries(gradients());
    const isOfTheLayer = ([name]: [string, tf.Tensor]): boolean => name.includes('o_proj');
    for (const other of all) if (!isOfTheLayer(other)) other[1].dispose();
    return all.find(isOfTheLayer)![1] as tf.Tensor2D;
  };
  train();
  const earlier = layerGradient();
  train();
  const later = layerGradient();
  model.dispose();
  optimizer.dispose();
  return {earlier, later};
}

function gaussian(width: number, seed: number): tf.Tensor2D {
  return tf.randomNormal([width, width], 0, 1, 'float32', seed);
}

/** Singular values 1, 1/√2, 1/√3, …: they fall so slowly that the exact basis leaves a quarter. */
function slowlyFalling(width: number): tf.Tensor2D {
  return tf.tidy(() => {
    const sizes = tf.rsqrt(tf.range(1, width + 1));
    const [left, right] = [orthonormalize(gaussian(width, 1)), orthonormalize(gaussian(width, 2))];
    return tf.matMul<tf.Tensor2D>(tf.mul(left, sizes), right, false, true);
  });
}

/** The same with noise of half its norm. */
function withNoise(matrix: tf.Tensor2D): tf.Tensor2D {
  const [width] = matrix.shape;
  return tf.tidy(() => {
    const size = tf.mul(tf.norm(matrix), 0.5 / width);
    return tf.add(matrix, tf.mul(gaussian(width, 3), size));
  });
}

/** On the current backend, which takes the exact bases: seconds on tensorflow, minutes elsewhere. */
export function basisMatrices({width, rank}: BasisSize): BasisMatrix[] {
  const makers: Record<string, () => {earlier: tf.Tensor2D; later: tf.Tensor2D}> = {
    'gradient of a layer in training': () => layerGradients(width),
    'singular values 1/√k': () => {
      const later = slowlyFalling(width);
      return {later, earlier: withNoise(later)};
    },
    'Gaussian noise': () => {
      const later = gaussian(width, 4);
      return {later, earlier: withNoise(later)};
    },
  };
  return Object.entries(makers).map(([title, make]) =>
    tf.tidy(() => {
      const {earlier, later} = make();
      const exactPart = capturedPart(exactBasis(later, rank, null, title), later);
      return {
        title,
        values: later.dataSync<'float32'>().slice(),
        earlier: earlier.dataSync<'float32'>().slice(),
        exactPart,
      };
    }),
  );
}

/** ‖PᵀG‖²/‖G‖². */
export function capturedPart(basis: tf.Tensor2D, matrix: tf.Tensor2D): number {
  return tf.tidy(() => {
    const energy = (x: tf.Tensor): tf.Tensor => tf.sum(tf.sum(tf.square(x), 1));
    return tf.div(energy(tf.matMul(basis, matrix, true)), energy(matrix)).dataSync()[0]!;
  });
}
