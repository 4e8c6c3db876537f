import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {describeWasm} from './compare';

const {layers} = tfl;
/** The default, an orthogonal one, needs chained ops. */
const recurrentInitializer = 'glorotUniform';

/**
 * Which stacks of layers train on wasm: together they need the gradients of most kernels that
 * tfjs-layers uses.
 */
const networks: Record<string, [inputShape: number[], makeLayers: () => tfl.layers.Layer[]]> = {
  recurrent: [
    [5, 3],
    () => [
      layers.bidirectional({
        layer: layers.lstm({units: 4, returnSequences: true, recurrentInitializer}),
        mergeMode: 'concat',
      }),
      layers.timeDistributed({layer: layers.dense({units: 4, activation: 'tanh'})}),
      layers.gru({units: 3, recurrentInitializer}),
    ],
  ],
  normalized: [
    [6],
    () => [
      layers.dense({units: 5, activation: 'relu'}),
      layers.batchNormalization(),
      layers.dense({units: 4, activation: 'softmax'}),
      layers.layerNormalization(),
    ],
  ],
  convolutional: [
    [8, 8, 2],
    () => [
      layers.conv2d({filters: 4, kernelSize: 3, activation: 'relu', padding: 'same'}),
      layers.batchNormalization(),
      layers.maxPooling2d({poolSize: 2}),
      layers.conv2d({filters: 3, kernelSize: 2, strides: 2}),
      layers.depthwiseConv2d({kernelSize: 2, depthMultiplier: 2, padding: 'same'}),
      layers.separableConv2d({filters: 3, kernelSize: 2, padding: 'same'}),
      layers.averagePooling2d({poolSize: 2}),
      layers.flatten(),
    ],
  ],
  'convolutional, one axis': [
    [9, 2],
    () => [layers.conv1d({filters: 4, kernelSize: 3, strides: 2}), layers.globalMaxPooling1d()],
  ],
};

describeWasm('training on wasm', () => {
  for (const [name, [inputShape, makeLayers]] of Object.entries(networks)) {
    it(`has the losses of the cpu backend: ${name}`, async () => {
      const losses: number[][] = [];
      let initial: tf.TensorLike[] | undefined;
      for (const backend of ['cpu', 'wasm']) {
        await tf.setBackend(backend);
        const input = tfl.input({shape: inputShape});
        const output = [...makeLayers(), layers.dense({units: 1})].reduce<tfl.SymbolicTensor>(
          (x, layer) => layer.apply(x) as tfl.SymbolicTensor,
          input,
        );
        const model = tfl.model({inputs: input, outputs: output});
        // Kernels by seeds: with some that are drawn at random, no unit is active, or rounding grows fast.
        initial ??= model.weights.map(({name, shape}, i) =>
          name.includes('kernel')
            ? tf.randomNormal(shape as number[], 0, 0.4, 'float32', i).arraySync()
            : model.getWeights()[i]!.arraySync(),
        );
        const weights = initial.map((values) => tf.tensor(values));
        model.setWeights(weights);
        const optimizer = tf.train.sgd(0.005);
        model.compile({optimizer, loss: 'meanSquaredError'});

        const size = 4 * tf.util.sizeFromShape(inputShape);
        const x = tf.tensor(
          Float32Array.from({length: size}, (_, i) => Math.sin(i)),
          [4, ...inputShape],
        );
        const y = tf.tensor2d([1, -1, 0.5, 0], [4, 1]);
        const run: number[] = [];
        for (let step = 0; step < 4; step++) run.push((await model.trainOnBatch(x, y)) as number);
        losses.push(run);
        tf.dispose([x, y, weights]);
        model.dispose();
        optimizer.dispose();
      }
      const [expected, actual] = losses as [number[], number[]];
      expect(actual.at(-1)).to.be.below(actual[0]!);
      // float32 sums in another order, over four steps
      actual.forEach((loss, i) => expect(loss / expected[i]!).to.be.closeTo(1, 1e-4));
    });
  }
});
