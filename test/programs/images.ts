/** Programs on images: classifiers, and a base that was trained before and is partly frozen. */
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {around, lossOf, normal, numbers, oneHot, times} from './data';
import type {Program} from './program';

const {batchNormalization, conv2d, dense, flatten} = tfl.layers;

const size = 12;
const classes = 4;

/** Whether a stroke of a class goes through a pixel: across, down, and the two diagonals, each moved a little. */
function isStroke(kind: number, row: number, column: number, shift: number): boolean {
  const distances = [row - 6, column - 6, row - column, row + column - 11];
  return Math.abs(distances[kind]! - shift) <= 1;
}

/** Noisy images [count, 12, 12, channels] of four strokes in turn, and their classes one-hot. */
function strokes(count: number, channels: number, seed: number): {x: tf.Tensor4D; y: tf.Tensor} {
  const random = numbers(seed);
  const kinds = times(count, (i) => i % classes);
  const images = kinds.map((kind) => {
    const shift = Math.round(2 * random() - 1);
    return times(size, (row) =>
      times(size, (column) =>
        times(channels, () => Number(isStroke(kind, row, column, shift)) + 0.3 * normal(random)),
      ),
    );
  });
  return {x: tf.tensor4d(images), y: oneHot(kinds, classes)};
}

const digits: Program = {
  title: 'handwriting by a CNN',
  uses: 'Conv2D, MaxPooling2D, categoricalCrossentropy, accuracy, validationSplit',
  async run(trainer) {
    const {x, y} = strokes(64, 1, 1);
    const model = tfl.sequential();
    const inputShape = [size, size, 1];
    model.add(conv2d({filters: 6, kernelSize: 3, activation: 'relu', inputShape}));
    model.add(tfl.layers.maxPooling2d({poolSize: 2}));
    model.add(conv2d({filters: 8, kernelSize: 3, activation: 'relu'}));
    model.add(flatten());
    model.add(dense({units: 24, activation: 'relu'}));
    model.add(dense({units: classes, activation: 'softmax'}));
    model.compile({
      optimizer: trainer.optimizer(0.01),
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
    });
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, x, y),
      async () => {
        await model.fit(x, y, {
          ...{epochs: 4, batchSize: 16, validationSplit: 0.25, verbose: 0},
          callbacks: trainer.callbacks(),
        });
      },
    );
    await trainer.round();
    model.dispose();
    tf.dispose([x, y]);
    return outcome;
  },
};

const separableBlocks = 3;

/** A network like a small MobileNet: a stem, and blocks of a depthwise and a pointwise convolution, each normalized. */
function createBase(): tfl.LayersModel {
  const normalized = (name: string): tfl.layers.Layer[] => [
    batchNormalization({name: `${name}_bn`, momentum: 0.5}),
    tfl.layers.reLU({name: `${name}_relu`, maxValue: 6}),
  ];
  const layers = [
    conv2d({
      ...{name: 'conv1', filters: 6, kernelSize: 3, strides: 2, padding: 'same', useBias: false},
      inputShape: [size, size, 3],
    }),
    ...normalized('conv1'),
    ...times(separableBlocks, (i) => [
      tfl.layers.depthwiseConv2d({
        ...{name: `conv_dw_${i}`, kernelSize: 3, padding: 'same', useBias: false},
      }),
      ...normalized(`conv_dw_${i}`),
      conv2d({name: `conv_pw_${i}`, filters: 8, kernelSize: 1, useBias: false}),
      ...normalized(`conv_pw_${i}`),
    ]).flat(),
    tfl.layers.globalAveragePooling2d({name: 'pool'}),
    dense({name: 'predictions', units: 10, activation: 'softmax'}),
  ];
  return tfl.sequential({layers});
}

/** What the base computes after a block. */
function cutAfter(base: tfl.LayersModel, block: number): tfl.SymbolicTensor {
  return base.getLayer(`conv_pw_${block}_relu`).output as tfl.SymbolicTensor;
}

const features: Program = {
  title: 'a new head on features of a MobileNet, computed once',
  uses: 'model cut at a layer, predict, a second model',
  async run(trainer) {
    const {x, y} = strokes(48, 3, 2);
    const base = createBase();
    const cut = tfl.model({inputs: base.inputs, outputs: cutAfter(base, 0)});
    const inner = cut.predict(x) as tf.Tensor;
    const model = tfl.sequential({
      layers: [
        flatten({inputShape: inner.shape.slice(1)}),
        dense({units: 20, activation: 'relu', kernelInitializer: 'varianceScaling'}),
        dense({units: classes, useBias: false, activation: 'softmax'}),
      ],
    });
    model.compile({optimizer: trainer.optimizer(0.02), loss: 'categoricalCrossentropy'});
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, inner, y),
      async () => {
        await model.fit(inner, y, {
          ...{epochs: 6, batchSize: 12, verbose: 0},
          callbacks: trainer.callbacks(),
        });
      },
    );
    await trainer.round();
    model.dispose();
    base.dispose();
    tf.dispose([x, y, inner]);
    return outcome;
  },
};

const fineTuning: Program = {
  title: 'fine-tuning a MobileNet, the lower blocks frozen',
  uses: 'DepthwiseConv2D, BatchNormalization, ReLU6, layer.trainable, two phases with a compile each',
  // Statistics of the batches move, and with them the loss that is evaluated.
  margins: {optimizer: 0.05, sampling: 0.5},
  async run(trainer) {
    const {x, y} = strokes(48, 3, 3);
    const base = createBase();
    const frozen = base.layers.filter(({name}) => !name.includes(String(separableBlocks - 1)));
    const top = tfl.layers
      .globalAveragePooling2d({name: 'average'})
      .apply(cutAfter(base, separableBlocks - 1)) as tfl.SymbolicTensor;
    const hidden = dense({name: 'hidden', units: 12, activation: 'relu'}).apply(top);
    const output = dense({name: 'head', units: classes, activation: 'softmax'}).apply(hidden);
    const model = tfl.model({inputs: base.inputs, outputs: output as tfl.SymbolicTensor});
    const kernelsOf = async (layers: tfl.layers.Layer[]): Promise<number[]> => {
      const sums: number[] = [];
      for (const {trainableWeights, nonTrainableWeights} of layers) {
        for (const weight of [...trainableWeights, ...nonTrainableWeights]) {
          if (weight.originalName.includes('moving')) continue;
          const sum = tf.sum(weight.read());
          sums.push((await sum.data())[0]!);
          sum.dispose();
        }
      }
      return sums;
    };
    const train = async (epochs: number): Promise<void> => {
      model.compile({optimizer: trainer.optimizer(0.01), loss: 'categoricalCrossentropy'});
      await model.fit(x, y, {
        ...{epochs, batchSize: 12, verbose: 0},
        callbacks: trainer.callbacks(),
      });
      await trainer.round();
    };
    for (const layer of base.layers) layer.trainable = false;
    model.compile({optimizer: trainer.optimizer(0.01), loss: 'categoricalCrossentropy'});
    const outcome = await around(
      () => lossOf(model, x, y),
      async () => {
        const before = await kernelsOf(base.layers);
        await train(2);
        expect(await kernelsOf(base.layers), 'the frozen base').to.deep.equal(before);
        for (const layer of base.layers) layer.trainable = !frozen.includes(layer);
        const lower = await kernelsOf(frozen);
        await train(5);
        expect(await kernelsOf(frozen), 'the lower blocks').to.deep.equal(lower);
        expect(await kernelsOf(base.layers)).to.not.deep.equal(before);
      },
    );
    model.dispose(); // and with it what it shares with the base
    tf.dispose(base.getLayer('predictions').weights.map((weight) => weight.read()));
    tf.dispose([x, y]);
    return outcome;
  },
};

const twoAtOnce: Program = {
  title: 'several inputs and outputs',
  uses: 'functional model, an image and a number in, a class and a number out, losses by name',
  async run(trainer) {
    const {x, y} = strokes(48, 1, 4);
    const random = numbers(5);
    const values = times(48, () => random());
    const numbersIn = tf.tensor2d(values, [48, 1]);
    const sums = tf.tensor2d(
      values.map((value, i) => value + (i % classes) / classes),
      [48, 1],
    );
    const image = tfl.input({shape: [size, size, 1], name: 'image'});
    const number = tfl.input({shape: [1], name: 'number'});
    const seen = flatten().apply(
      conv2d({filters: 6, kernelSize: 3, strides: 2, activation: 'relu'}).apply(image),
    ) as tfl.SymbolicTensor;
    const narrow = dense({units: 12, activation: 'relu'}).apply(seen) as tfl.SymbolicTensor;
    const both = tfl.layers.concatenate().apply([narrow, number]);
    const inner = dense({units: 12, activation: 'relu'}).apply(both);
    const kind = dense({name: 'kind', units: classes, activation: 'softmax'}).apply(inner);
    const sum = dense({name: 'sum', units: 1}).apply(inner);
    const model = tfl.model({
      inputs: [image, number],
      outputs: [kind, sum] as tfl.SymbolicTensor[],
    });
    model.compile({
      optimizer: trainer.optimizer(0.01),
      loss: {kind: 'categoricalCrossentropy', sum: 'meanSquaredError'},
    });
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, [x, numbersIn], [y, sums]),
      async () => {
        await model.fit(
          {image: x, number: numbersIn},
          {kind: y, sum: sums},
          {epochs: 6, batchSize: 12, verbose: 0, callbacks: trainer.callbacks()},
        );
      },
    );
    await trainer.round();
    model.dispose();
    tf.dispose([x, y, numbersIn, sums]);
    return outcome;
  },
};

const siamese: Program = {
  title: 'whether two images are alike, by one encoder for both',
  uses: 'shared layers, own layer with two inputs, contrastive loss',
  async run(trainer) {
    const {x, y} = strokes(64, 1, 6);
    y.dispose();
    const pairs = times(64, (i) => [i, i % 2 === 0 ? (i + classes) % 64 : (i + 1) % 64] as const);
    const pick = (side: 0 | 1): tf.Tensor =>
      tf.tidy(() =>
        tf.gather(
          x,
          pairs.map((pair) => pair[side]),
        ),
      );
    const left = pick(0);
    const right = pick(1);
    const alike = tf.tensor2d(pairs.map((_, i) => [i % 2 === 0 ? 1 : 0]));
    const shape = [size, size, 1];
    const encoder = tfl.sequential({
      layers: [
        flatten({inputShape: shape}),
        dense({units: 20, activation: 'relu'}),
        dense({units: 16, activation: 'relu'}),
        dense({units: 4}),
      ],
    });
    const inputs = [tfl.input({shape}), tfl.input({shape})];
    const encoded = inputs.map((input) => encoder.apply(input) as tfl.SymbolicTensor);
    const distance = new Distance().apply(encoded) as tfl.SymbolicTensor;
    const model = tfl.model({inputs, outputs: distance});
    model.compile({
      optimizer: trainer.optimizer(0.005),
      // Alike: near; not: at least 1 apart.
      loss: (same: tf.Tensor, squared: tf.Tensor) =>
        tf.tidy(() => {
          const apart = tf.square(tf.relu(tf.sub(1, tf.sqrt(tf.add(squared, 1e-6)))));
          return tf.mean(tf.add(tf.mul(same, squared), tf.mul(tf.sub(1, same), apart)));
        }),
    });
    await trainer.round();
    // Blocks are layers of the encoder, which the model holds once.
    const outcome = await around(
      () => lossOf(model, [left, right], alike),
      async () => {
        await model.fit([left, right], alike, {
          ...{epochs: 8, batchSize: 16, verbose: 0},
          callbacks: trainer.callbacks(),
        });
      },
    );
    await trainer.round();
    model.dispose();
    encoder.dispose(); // which it holds twice
    tf.dispose([x, left, right, alike]);
    return outcome;
  },
};

/** The squared distance of two rows. */
class Distance extends tfl.layers.Layer {
  static className = 'Distance';

  override computeOutputShape(shapes: tfl.Shape[]): tfl.Shape {
    return [shapes[0]![0]!, 1];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [a, b] = inputs as [tf.Tensor, tf.Tensor];
    return tf.tidy(() => tf.sum(tf.squaredDifference(a, b), -1, true));
  }
}
tf.serialization.registerClass(Distance);

export const imagePrograms: readonly Program[] = [digits, features, fineTuning, twoAtOnce, siamese];
