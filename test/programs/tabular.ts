/** Programs on tables of numbers, and on none but variables. */
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {around, lossOf, normal, numberOf, numbers, oneHot, times} from './data';
import type {Outcome, Program} from './program';

const {dense} = tfl.layers;

const polynomial: Program = {
  title: 'a polynomial, of variables alone',
  quick: true,
  uses: 'tf.variable, optimizer.minimize; no model',
  noBlocks: 'no model',
  async run(trainer) {
    const random = numbers(1);
    const points = times(64, () => 2 * random() - 1);
    const xs = tf.tensor1d(points);
    const ys = tf.tensor1d(
      points.map((x) => -0.8 * x ** 3 - 0.2 * x ** 2 + 0.9 * x + 0.5 + 0.02 * normal(random)),
    );
    const coefficients = times(4, () => tf.tidy(() => tf.variable(tf.scalar(random()))));
    const optimizer = trainer.optimizer(0.05);
    const loss = (): tf.Scalar =>
      tf.tidy(() => {
        const terms = coefficients.map((c, i) => tf.mul(c, tf.pow(xs, tf.scalar(i, 'int32'))));
        return tf.mean(tf.squaredDifference(tf.addN(terms), ys));
      });
    const outcome = await around(
      () => numberOf(loss()),
      async () => {
        for (let step = 0; step < 80; step++) {
          optimizer.minimize(loss);
          await trainer.round();
        }
      },
    );
    tf.dispose([xs, ys, ...coefficients]);
    return outcome;
  },
};

/** Flowers of three kinds by four measurements that are far from 0 and 1, one kind rarer than the others. */
function flowers(): {rows: number[][]; kinds: number[]} {
  const random = numbers(2);
  const centres = [
    [50, 34, 15, 2],
    [59, 28, 43, 13],
    [66, 30, 55, 20],
  ];
  const kinds = times(70, (i) => (i % 7 === 0 ? 0 : 1 + (i % 2)));
  const rows = kinds.map((kind) =>
    centres[kind]!.map((centre) => centre * (1 + 0.08 * normal(random))),
  );
  return {rows, kinds};
}

/** Each column with mean 0 and variance 1. */
function normalized(rows: number[][]): tf.Tensor2D {
  return tf.tidy(() => {
    const x = tf.tensor2d(rows);
    const {mean, variance} = tf.moments(x, 0);
    return tf.div(tf.sub(x, mean), tf.sqrt(variance));
  });
}

const iris: Program = {
  title: 'flowers by their measurements',
  quick: true,
  uses: 'columns normalized by tf.moments, softmax, classWeight, validationData',
  async run(trainer) {
    const {rows, kinds} = flowers();
    const x = normalized(rows);
    const y = oneHot(kinds, 3);
    const model = tfl.sequential();
    model.add(dense({units: 10, activation: 'sigmoid', inputShape: [4]}));
    model.add(dense({units: 10, activation: 'sigmoid'}));
    model.add(dense({units: 3, activation: 'softmax'}));
    model.compile({
      optimizer: trainer.optimizer(0.03),
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
    });
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, x, y),
      async () => {
        await model.fit(x, y, {
          ...{epochs: 15, batchSize: 14, verbose: 0, classWeight: {0: 3, 1: 1, 2: 1}},
          ...{validationData: [x, y], callbacks: trainer.callbacks()},
        });
      },
    );
    await trainer.round();
    model.dispose();
    tf.dispose([x, y]);
    return outcome;
  },
};

/** Prices by eight properties, of which some matter together. */
function houses(count: number, seed: number): {x: tf.Tensor2D; y: tf.Tensor2D} {
  const random = numbers(seed);
  const rows = times(count, () => times(8, () => normal(random)));
  const prices = rows.map((row) => [
    22 + 3 * row[0]! - 2 * row[1]! + 2 * row[2]! * row[3]! + 0.5 * normal(random),
  ]);
  return {x: tf.tensor2d(rows), y: tf.tensor2d(prices)};
}

function createHouseModel(): tfl.LayersModel {
  const common = {activation: 'relu', kernelInitializer: 'leCunNormal'} as const;
  return tfl.sequential({
    layers: [
      dense({...common, units: 24, inputShape: [8]}),
      dense({...common, units: 24, kernelRegularizer: tfl.regularizers.l2({l2: 1e-3})}),
      dense({units: 1}),
    ],
  });
}

const boston: Program = {
  title: 'prices of houses',
  uses: 'Dense, kernelRegularizer, meanSquaredError, metrics, validationSplit',
  async run(trainer) {
    const {x, y} = houses(80, 3);
    const model = createHouseModel();
    model.compile({optimizer: trainer.optimizer(0.02), loss: 'meanSquaredError', metrics: ['mae']});
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, x, y),
      async () => {
        await model.fit(x, y, {
          ...{epochs: 12, batchSize: 16, validationSplit: 0.2, verbose: 0},
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

const crossValidation: Program = {
  title: 'cross-validation, a new model for each part',
  uses: 'the same callbacks for several models',
  async run(trainer) {
    const folds = 3;
    const size = 20;
    const {x, y} = houses(folds * size, 4);
    const callbacks = trainer.callbacks();
    const outcomes: Outcome[] = [];
    for (let fold = 0; fold < folds; fold++) {
      const parts = tf.tidy(() =>
        [x, y].map((all) => {
          const pieces = tf.split(all, folds);
          const [held] = pieces.splice(fold, 1);
          return {held: held!, rest: tf.concat(pieces)};
        }),
      );
      const [inputs, labels] = parts as [(typeof parts)[0], (typeof parts)[0]];
      const model = createHouseModel();
      model.compile({optimizer: trainer.optimizer(0.02), loss: 'meanSquaredError'});
      outcomes.push(
        await around(
          () => lossOf(model, inputs.held, labels.held),
          async () => {
            await model.fit(inputs.rest, labels.rest, {
              ...{epochs: 12, batchSize: 10, verbose: 0, callbacks},
            });
          },
        ),
      );
      model.dispose();
      tf.dispose(parts);
      trainer.expectStarts(fold + 1);
    }
    tf.dispose([x, y]);
    const mean = (key: keyof Outcome): number =>
      outcomes.reduce((sum, outcome) => sum + outcome[key], 0) / folds;
    return {before: mean('before'), after: mean('after')};
  },
};

/** Which way of two a short row of numbers goes. */
const worker: Program = {
  title: 'a loop in a worker, which never yields',
  uses: 'Conv1D, trainOnBatch awaited and nothing else, evaluate at the end',
  async run(trainer) {
    const random = numbers(5);
    const rows = times(48, (i) => {
      const slope = i % 2 === 0 ? 0.2 : -0.2;
      return times(10, (t) => [slope * t + 0.4 * normal(random)]);
    });
    const x = tf.tensor3d(rows);
    const y = tf.tensor2d(rows.map((_, i) => [i % 2]));
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv1d({filters: 8, kernelSize: 3, activation: 'relu', inputShape: [10, 1]}),
        tfl.layers.conv1d({filters: 8, kernelSize: 3, activation: 'relu'}),
        tfl.layers.flatten(),
        dense({units: 12, activation: 'relu'}),
        dense({units: 1, activation: 'sigmoid'}),
      ],
    });
    const optimizer = trainer.optimizer(0.01);
    model.compile({optimizer, loss: 'binaryCrossentropy'});
    const loop = trainer.loop(model, optimizer);
    const outcome = await around(
      () => lossOf(model, x, y),
      async () => {
        const losses: number[] = [];
        for (let step = 0; step < 40; step++) {
          loop.step();
          losses.push((await model.trainOnBatch(x, y)) as number);
          loop.stepped();
        }
        expect(losses.at(-1)).to.be.lessThan(losses[0]!);
      },
    );
    loop.restore();
    model.dispose();
    tf.dispose([x, y]);
    return outcome;
  },
};

export const tabularPrograms: readonly Program[] = [
  polynomial,
  iris,
  boston,
  crossValidation,
  worker,
];
