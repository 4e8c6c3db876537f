/** Programs that make images: an autoencoder, a variational one, and a generator against a discriminator. */
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {around, lossOf, normal, numberOf, numbers, times} from './data';
import type {Program} from './program';

const {batchNormalization, conv2d, conv2dTranspose, dense, dropout, flatten, leakyReLU} =
  tfl.layers;

/** Waves of two numbers each, [count, length], from 0 to 1. */
function waves(count: number, length: number, seed: number): tf.Tensor2D {
  const random = numbers(seed);
  return tf.tensor2d(
    times(count, () => {
      const [phase, speed] = [6 * random(), 0.1 + 0.2 * random()];
      return times(length, (i) => 0.5 + 0.4 * Math.sin(phase + speed * i));
    }),
  );
}

/** As wide as makes matrices of which the default rank is a part. */
const width = 200;

const autoencoder: Program = {
  title: 'an autoencoder, wide enough to be projected',
  uses: 'Dense 200 × 200, fit with the inputs as labels',
  margins: {optimizer: 0.1, sampling: 0.5},
  async run(trainer) {
    const x = waves(48, width, 1);
    const model = tfl.sequential({
      layers: [
        dense({units: width, activation: 'tanh', inputShape: [width]}),
        dense({units: 8, activation: 'tanh'}),
        dense({units: width, activation: 'sigmoid'}),
      ],
    });
    model.compile({optimizer: trainer.optimizer(0.003), loss: 'meanSquaredError'});
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, x, x),
      async () => {
        await model.fit(x, x, {
          ...{epochs: 12, batchSize: 12, verbose: 0},
          // A block that comes back begins with a new basis.
          callbacks: trainer.callbacks({interval: 16}),
        });
      },
    );
    await trainer.round();
    model.dispose();
    x.dispose();
    return outcome;
  },
};

/** Draws from the normal distributions whose means and logarithms of variances are its inputs. */
class Draw extends tfl.layers.Layer {
  static className = 'Draw';

  override computeOutputShape(shapes: tfl.Shape[]): tfl.Shape {
    return shapes[0]!;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [mean, logVariance] = inputs as [tf.Tensor, tf.Tensor];
    return tf.tidy(() => {
      const noise = tf.randomNormal(mean.shape);
      return tf.add(mean, tf.mul(tf.exp(tf.div(logVariance, 2)), noise));
    });
  }
}
tf.serialization.registerClass(Draw);

const variational: Program = {
  title: 'a variational autoencoder',
  uses: 'nested models with several outputs, own layer that draws, optimizer.minimize in a loop',
  // What is drawn differs with the order of the draws.
  margins: {optimizer: 0.1},
  async run(trainer) {
    const length = 24;
    const latent = 2;
    const x = waves(64, length, 2);
    const input = tfl.input({shape: [length]});
    const hidden = dense({units: 20, activation: 'relu'}).apply(input);
    const [mean, logVariance] = times(2, () =>
      dense({units: latent}).apply(hidden),
    ) as tfl.SymbolicTensor[];
    const drawn = new Draw().apply([mean!, logVariance!]) as tfl.SymbolicTensor;
    const encoder = tfl.model({inputs: input, outputs: [mean!, logVariance!, drawn]});
    const decoder = tfl.sequential({
      layers: [
        dense({units: 20, activation: 'relu', inputShape: [latent]}),
        dense({units: length, activation: 'sigmoid'}),
      ],
    });
    const encoded = encoder.apply(encoder.inputs) as tfl.SymbolicTensor[];
    const decoded = decoder.apply(encoded[2]!) as tfl.SymbolicTensor;
    const model = tfl.model({inputs: encoder.inputs, outputs: [decoded, ...encoded]});
    const loss = (batch: tf.Tensor): tf.Scalar =>
      tf.tidy(() => {
        const [output, means, logs] = model.apply(batch) as [tf.Tensor, tf.Tensor, tf.Tensor];
        const error = tf.mul(tf.losses.meanSquaredError(batch, output), length);
        const spread = tf.sub(tf.add(logs, 1), tf.add(tf.square(means), tf.exp(logs)));
        return tf.mean(tf.add(error, tf.mul(tf.sum(spread, -1), -0.05)));
      });
    const optimizer = trainer.optimizer(0.01);
    const loop = trainer.loop(model, optimizer, {blocks: /^(dense_Dense\d+)$/});
    const outcome = await around(
      () => numberOf(loss(x)),
      async () => {
        for (let step = 0; step < 60; step++) {
          const batch = tf.slice(x, [16 * (step % 4), 0], [16, length]);
          loop.step();
          optimizer.minimize(() => loss(batch));
          loop.stepped();
          batch.dispose();
          await trainer.round();
        }
      },
    );
    loop.restore();
    model.dispose();
    x.dispose();
    return outcome;
  },
};

const side = 8;
const kinds = 2;
const noise = 6;

/** Images [count, 8, 8, 1] from -1 to 1, bright above (class 0) or below (class 1), and their classes [count, 1]. */
function halves(count: number, seed: number): {images: tf.Tensor4D; labels: tf.Tensor2D} {
  const random = numbers(seed);
  const labels = times(count, (i) => [i % kinds]);
  const images = labels.map(([kind]) =>
    times(side, (row) =>
      times(side, () => [
        Math.max(
          -1,
          Math.min(1, (row < side / 2 === (kind === 0) ? 0.8 : -0.8) + 0.1 * normal(random)),
        ),
      ]),
    ),
  );
  return {images: tf.tensor4d(images), labels: tf.tensor2d(labels)};
}

function createGenerator(): tfl.LayersModel {
  const body = tfl.sequential({
    layers: [
      dense({units: 2 * 2 * 8, activation: 'relu', inputShape: [noise]}),
      tfl.layers.reshape({targetShape: [2, 2, 8]}),
      conv2dTranspose({filters: 6, kernelSize: 3, strides: 2, padding: 'same', activation: 'relu'}),
      batchNormalization({momentum: 0.5}),
      conv2dTranspose({filters: 1, kernelSize: 3, strides: 2, padding: 'same', activation: 'tanh'}),
    ],
  });
  const latent = tfl.input({shape: [noise]});
  const kind = tfl.input({shape: [1]});
  const embedded = flatten().apply(
    tfl.layers.embedding({inputDim: kinds, outputDim: noise}).apply(kind),
  ) as tfl.SymbolicTensor;
  const scaled = tfl.layers.multiply().apply([latent, embedded]);
  return tfl.model({inputs: [latent, kind], outputs: body.apply(scaled) as tfl.SymbolicTensor});
}

function createDiscriminator(): tfl.LayersModel {
  const body = tfl.sequential({
    layers: [
      conv2d({filters: 6, kernelSize: 3, strides: 2, padding: 'same', inputShape: [side, side, 1]}),
      leakyReLU({alpha: 0.2}),
      dropout({rate: 0.2}),
      conv2d({filters: 8, kernelSize: 3, strides: 2, padding: 'same'}),
      leakyReLU({alpha: 0.2}),
      flatten(),
    ],
  });
  const image = tfl.input({shape: [side, side, 1]});
  const seen = body.apply(image);
  const real = dense({name: 'real', units: 1, activation: 'sigmoid'}).apply(seen);
  const kind = dense({name: 'kind', units: kinds, activation: 'softmax'}).apply(seen);
  return tfl.model({inputs: image, outputs: [real, kind] as tfl.SymbolicTensor[]});
}

/** The sum of the squares of all trainable weights, to see whether any has moved: plain sums stay where as many go up as down. */
function squaredWeights(model: tfl.LayersModel): Promise<number> {
  return numberOf(
    tf.tidy(() => {
      const weights = model.weights.filter(({originalName}) => !originalName.includes('moving'));
      return tf.addN(weights.map((weight) => tf.sum(tf.square(weight.read()))));
    }),
  );
}

const adversarial: Program = {
  title: 'a generator against a discriminator that names classes',
  uses: 'Conv2DTranspose, two outputs, Dropout, discriminator.trainable = false after its compile, trainOnBatch',
  // What dropout draws differs with the order of the draws.
  margins: {optimizer: 0.1, sampling: 0.3},
  async run(trainer) {
    const batch = 12;
    const loss = ['binaryCrossentropy', 'sparseCategoricalCrossentropy'];
    const {images, labels} = halves(batch, 3);
    const generator = createGenerator();
    const discriminator = createDiscriminator();
    const optimizers = [trainer.optimizer(0.005), trainer.optimizer(0.01)] as const;
    discriminator.compile({optimizer: optimizers[0], loss});
    discriminator.trainable = false;
    const fake = generator.apply(generator.inputs) as tfl.SymbolicTensor;
    const judged = discriminator.apply(fake) as tfl.SymbolicTensor[];
    const combined = tfl.model({inputs: generator.inputs, outputs: judged});
    combined.compile({optimizer: optimizers[1], loss});

    const loops = [
      trainer.loop(discriminator, optimizers[0]),
      trainer.loop(combined, optimizers[1]),
    ] as const;
    const seeds = numbers(4);
    const latent = (): tf.Tensor2D =>
      tf.randomUniform([batch, noise], 0.5, 1.5, 'float32', 1 + Math.floor(1e6 * seeds()));
    /** How well classes are told, of images and of what is made: what both networks want. What they fight about goes up and down. */
    const confusion = (): Promise<number> =>
      numberOf(
        tf.tidy(() => {
          const [, imageLabels] = discriminator.predict(images) as tf.Tensor[];
          const [, madeLabels] = combined.predict([latent(), labels]) as tf.Tensor[];
          const right = tf.oneHot(tf.cast(tf.squeeze(labels, [1]), 'int32'), kinds);
          return tf.losses.logLoss(
            tf.concat([right, right]),
            tf.concat([imageLabels!, madeLabels!]),
          );
        }),
      );
    const trainDiscriminator = async (): Promise<void> => {
      const [x, real, kind] = tf.tidy(() => [
        tf.concat([images, generator.predict([latent(), labels]) as tf.Tensor4D]),
        tf.concat([tf.fill([batch, 1], 0.95), tf.zeros([batch, 1])]),
        tf.concat([labels, labels]),
      ]) as [tf.Tensor, tf.Tensor, tf.Tensor];
      loops[0].step();
      await discriminator.trainOnBatch(x, [real, kind]);
      loops[0].stepped();
      tf.dispose([x, real, kind]);
    };
    const trainGenerator = async (): Promise<void> => {
      const [z, trick] = [latent(), tf.fill([batch, 1], 0.95)];
      loops[1].step();
      await combined.trainOnBatch([z, labels], [trick, labels]);
      loops[1].stepped();
      tf.dispose([z, trick]);
    };
    const outcome = await around(confusion, async () => {
      for (let step = 0; step < 24; step++) {
        const sums = [await squaredWeights(discriminator), await squaredWeights(generator)];
        await trainDiscriminator();
        const afterOne = [await squaredWeights(discriminator), await squaredWeights(generator)];
        expect(afterOne[0], "the discriminator's step moves it").to.not.equal(sums[0]);
        expect(afterOne[1], 'and not the generator').to.equal(sums[1]);
        await trainGenerator();
        const afterBoth = [await squaredWeights(discriminator), await squaredWeights(generator)];
        expect(afterBoth[0], "the generator's step leaves the discriminator").to.equal(afterOne[0]);
        expect(afterBoth[1], 'and moves the generator').to.not.equal(afterOne[1]);
        await trainer.round();
      }
    });
    for (const loop of loops) loop.restore();
    combined.dispose(); // and with it both of its parts
    tf.dispose([images, labels]);
    return outcome;
  },
};

export const generativePrograms: readonly Program[] = [autoencoder, variational, adversarial];
