import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {createLlama, sparseCrossEntropy} from '../src/llama';
import {createRandom, type Random} from '../src/common/random';

/** A model as people have it, with data that it learns from. All of it follows from the seed. */
export interface OrdinaryModel {
  title: string;
  /** For Adam; the other optimizers get the same. */
  learningRate: number;
  /** Steps in which Adam learns most of what there is. */
  steps: number;
  batchSize: number;
  loss: string | ((labels: tf.Tensor, outputs: tf.Tensor) => tf.Tensor);
  build(): tfl.LayersModel;
  /** Inputs and labels of `count` examples; the caller disposes of them. */
  createData(count: number, random: Random): [x: tf.Tensor, y: tf.Tensor];
}

const {conv2d, dense, depthwiseConv2d, dropout, flatten, globalAveragePooling2d} = tfl.layers;
const {maxPooling2d, batchNormalization, separableConv2d} = tfl.layers;

/** Side of a drawn digit. */
const SIDE = 28;
/** Points of a time series. */
const POINTS = 12;
/** Frames of a moving dot. */
const FRAMES = 6;
const relu = {activation: 'relu'} as const;
/** The default, `'orthogonal'`, needs the chained methods of tensors, which a program of single imports does not have. */
const glorot = {recurrentInitializer: 'glorotUniform'} as const;
const separable = {kernelSize: 3, strides: 2, padding: 'same', useBias: false} as const;

const classification = {
  learningRate: 1e-3,
  steps: 400,
  batchSize: 32,
  loss: 'categoricalCrossentropy',
};
const regression = {learningRate: 1e-3, steps: 400, batchSize: 32, loss: 'meanSquaredError'};

export const ordinaryModels: readonly OrdinaryModel[] = [
  {
    ...regression,
    title: 'linear regression: dense(1) on 20 features',
    ...{learningRate: 0.1, steps: 160},
    build: () => sequential([dense({units: 1, inputShape: [20]})]),
    createData: (count, random) => linearData(count, 20, random),
  },
  {
    ...regression,
    title: 'regression on 13 features: dense 50, 50, 1',
    learningRate: 1e-2,
    build: () => sequential([...hidden(2, 50, [13]), dense({units: 1})]),
    createData: (count, random) => teacherData(count, 13, random),
  },
  {
    ...classification,
    title: 'digits: CNN with 8 and 16 filters of 5×5',
    steps: 300,
    build: () =>
      sequential([
        conv2d({filters: 8, kernelSize: 5, inputShape: [SIDE, SIDE, 1], ...relu}),
        maxPooling2d({poolSize: 2}),
        conv2d({filters: 16, kernelSize: 5, ...relu}),
        ...[maxPooling2d({poolSize: 2}), flatten(), dense({units: 10, activation: 'softmax'})],
      ]),
    createData: (count, random) => digits(count, random),
  },
  {
    ...classification,
    title: 'digits: depthwise and separable convolutions, as in MobileNet',
    steps: 300,
    build: () =>
      sequential([
        conv2d({filters: 8, kernelSize: 3, strides: 2, inputShape: [SIDE, SIDE, 1], ...relu}),
        depthwiseConv2d({kernelSize: 3, padding: 'same', useBias: false}),
        ...[batchNormalization({momentum: 0.9}), tfl.layers.reLU()],
        conv2d({filters: 16, kernelSize: 1, ...relu}),
        separableConv2d({...separable, filters: 32}),
        ...[batchNormalization({momentum: 0.9}), tfl.layers.reLU()],
        ...[globalAveragePooling2d({}), dense({units: 10, activation: 'softmax'})],
      ]),
    createData: (count, random) => digits(count, random),
  },
  {
    ...classification,
    title: 'digits: CNN with dense 256 behind it',
    steps: 250,
    build: () =>
      sequential([
        conv2d({filters: 16, kernelSize: 3, inputShape: [SIDE, SIDE, 1], ...relu}),
        maxPooling2d({poolSize: 2}),
        conv2d({filters: 32, kernelSize: 3, ...relu}),
        ...[maxPooling2d({poolSize: 2}), flatten(), dense({units: 256, ...relu})],
        dense({units: 10, activation: 'softmax'}),
      ]),
    createData: (count, random) => digits(count, random),
  },
  {
    ...classification,
    title: 'digits: dense 512, 256, 10',
    build: () =>
      sequential([
        dense({units: 512, inputShape: [SIDE * SIDE], ...relu}),
        ...[dense({units: 256, ...relu}), dense({units: 10, activation: 'softmax'})],
      ]),
    createData: (count, random) => flat(digits(count, random)),
  },
  {
    ...regression,
    title: 'digits: autoencoder 784, 256, 32, 256, 784',
    build: () =>
      sequential([
        dense({units: 256, inputShape: [SIDE * SIDE], ...relu}),
        ...[dense({units: 32}), dense({units: 256, ...relu})],
        dense({units: SIDE * SIDE, activation: 'sigmoid'}),
      ]),
    createData(count, random) {
      const [x, y] = flat(digits(count, random));
      y.dispose();
      return [x, tf.clone(x)];
    },
  },
  {
    ...regression,
    title: 'regression on 64 features: six layers of 256, skips between them',
    build: () => residualModel(64, 256, 3),
    createData: (count, random) => teacherData(count, 64, random),
  },
  {
    ...classification,
    title: 'text: bag of 2000 words, dense 256, 2',
    steps: 100, // after 400 it knows its examples by heart
    build: () =>
      sequential([
        dense({units: 256, inputShape: [2000], ...relu}),
        ...[dropout({rate: 0.3, seed: 1}), dense({units: 2, activation: 'softmax'})],
      ]),
    createData: (count, random) => bagsOfWords(count, random),
  },
  {
    ...regression,
    title: 'time series: GRU 192',
    steps: 250,
    build: () =>
      sequential([
        tfl.layers.gru({
          units: 192,
          inputShape: [POINTS, 4],
          ...glorot,
        }),
        dense({units: 1}),
      ]),
    createData: (count, random) => waves(count, random),
  },
  {
    ...classification,
    title: 'text: LSTM 256, the next of 32 tokens',
    steps: 250,
    build: () =>
      sequential([
        tfl.layers.lstm({units: 256, inputShape: [8, 32], ...glorot}),
        dense({units: 32, activation: 'softmax'}),
      ]),
    createData: (count, random) => nextTokens(count, random),
  },
  {
    ...classification,
    title: 'text: transformer, width 256, two blocks',
    ...{steps: 250, batchSize: 8, loss: sparseCrossEntropy},
    build: () =>
      createLlama({
        ...{vocabSize: 32, hiddenSize: 256, intermediateSize: 512, numHiddenLayers: 2},
        ...{numAttentionHeads: 4, maxPositionEmbeddings: 24, seed: Math.floor(Math.random() * 1e6)},
      }),
    createData: (count, random) => sentences(count, 24, random),
  },
];

/** Further ones of which a step's time and memory are measured: models of a few units, and recurrent layers. */
export const smallModels: readonly OrdinaryModel[] = [
  {
    ...classification,
    title: 'iris: dense 10, 3 on 4 features',
    build: () => sequential([...hidden(1, 10, [4]), dense({units: 3, activation: 'softmax'})]),
    createData: (count, random) => clusters(count, random),
  },
  {
    ...regression,
    title: 'regression on 24 features: six layers of 24',
    build: () => sequential([...hidden(6, 24, [24]), dense({units: 1})]),
    createData: (count, random) => teacherData(count, 24, random),
  },
  {
    ...regression,
    title: 'time series: RNN 32',
    build: () => recurrent(tfl.layers.simpleRNN({units: 32, inputShape: [POINTS, 4], ...glorot})),
    createData: (count, random) => waves(count, random),
  },
  {
    ...regression,
    title: 'time series of 96 points: GRU 32',
    build: () => recurrent(tfl.layers.gru({units: 32, inputShape: [96, 4], ...glorot})),
    createData: (count, random) => waves(count, random, 96),
  },
  {
    ...classification,
    title: 'text: LSTM 128, the next of 32 tokens after 20',
    build: () => nextToken([tfl.layers.lstm({units: 128, inputShape: [20, 32], ...glorot})]),
    createData: (count, random) => nextTokens(count, random, 20),
  },
  {
    ...classification,
    title: 'text: LSTM 64, LSTM 64',
    build: () =>
      nextToken([
        tfl.layers.lstm({units: 64, inputShape: [8, 32], returnSequences: true, ...glorot}),
        tfl.layers.lstm({units: 64, ...glorot}),
      ]),
    createData: (count, random) => nextTokens(count, random),
  },
  {
    ...classification,
    title: 'text: bidirectional LSTM 32',
    build: () =>
      nextToken([
        tfl.layers.bidirectional({
          layer: tfl.layers.lstm({units: 32, ...glorot}),
          mergeMode: 'concat',
          inputShape: [8, 32],
        }),
      ]),
    createData: (count, random) => nextTokens(count, random),
  },
  {
    ...regression,
    title: 'frames of 16×16: convLSTM with 8 filters of 3×3',
    batchSize: 8,
    build: () =>
      sequential([
        tfl.layers.convLstm2d({
          filters: 8,
          kernelSize: 3,
          inputShape: [FRAMES, 16, 16, 1],
          ...glorot,
        }),
        ...[globalAveragePooling2d({}), dense({units: 2})],
      ]),
    createData: (count, random) => movingDots(count, random),
  },
];

/** Runs `build` with all that is random in it, tfjs's initializers among them, drawn by `seed`. */
export function seeded<T>(seed: number, build: () => T): T {
  const {random} = Math;
  const generator = createRandom(seed);
  Math.random = () => generator.next();
  try {
    return build();
  } finally {
    Math.random = random;
  }
}

/** What a training came to, by the loss of its model. */
export interface Trained {
  /** Before training, on examples that are not trained on. */
  before: number;
  /** The same after training. */
  heldOut: number;
  /** The mean of the last tenth of the steps. */
  training: number;
}

/** A model and its data, as a seed determines them, to be trained by one optimizer after the other. */
export class Task {
  private readonly x: tf.Tensor;
  private readonly y: tf.Tensor;
  private readonly examples: number;
  private readonly heldOut: number;

  constructor(
    private readonly ordinary: OrdinaryModel,
    private readonly seed: number,
  ) {
    const {batchSize, createData} = ordinary;
    this.examples = 64 * batchSize;
    this.heldOut = 16 * batchSize;
    [this.x, this.y] = createData(this.examples + this.heldOut, createRandom(seed));
  }

  /** Trains a new model on the same batches each time; disposes of it, not of the optimizer. */
  async train(optimizer: tf.Optimizer): Promise<Trained> {
    const {steps, batchSize, build, loss} = this.ordinary;
    const random = createRandom(this.seed + 1000);
    const model = seeded(this.seed, build);
    model.compile({optimizer, loss});
    const before = await this.evaluate(model);
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      const rows = Array.from({length: batchSize}, () => Math.floor(random.next() * this.examples));
      const batch = tf.tidy(() => {
        const indices = tf.tensor1d(rows, 'int32');
        return [tf.gather(this.x, indices), tf.gather(this.y, indices)] as const;
      });
      losses.push((await model.trainOnBatch(...batch)) as number);
      tf.dispose([...batch]);
    }
    const last = losses.slice(-Math.ceil(steps / 10));
    const training = last.reduce((sum, value) => sum + value, 0) / last.length;
    const heldOut = await this.evaluate(model);
    model.dispose();
    return {before, heldOut, training};
  }

  dispose(): void {
    tf.dispose([this.x, this.y]);
  }

  private async evaluate(model: tfl.LayersModel): Promise<number> {
    const [x, y] = [this.x, this.y].map((all) => tf.slice(all, [this.examples], [this.heldOut]));
    const loss = model.evaluate(x!, y!, {batchSize: this.ordinary.batchSize}) as tf.Scalar;
    const [value] = await loss.data();
    tf.dispose([x!, y!, loss]);
    return value!;
  }
}

function sequential(layers: tfl.layers.Layer[]): tfl.LayersModel {
  return tfl.sequential({layers});
}

function hidden(count: number, units: number, inputShape: number[]): tfl.layers.Layer[] {
  return Array.from({length: count}, (_, i) =>
    dense({units, activation: 'relu', ...(i === 0 && {inputShape})}),
  );
}

function recurrent(layer: tfl.layers.Layer): tfl.LayersModel {
  return sequential([layer, dense({units: 1})]);
}

function nextToken(layers: tfl.layers.Layer[]): tfl.LayersModel {
  return sequential([...layers, dense({units: 32, activation: 'softmax'})]);
}

function residualModel(features: number, width: number, blocks: number): tfl.LayersModel {
  const input = tfl.input({shape: [features]});
  let x = dense({units: width}).apply(input) as tfl.SymbolicTensor;
  for (let i = 0; i < blocks; i++) {
    const inner = dense({units: width, activation: 'relu'}).apply(x) as tfl.SymbolicTensor;
    const outer = dense({units: width}).apply(inner) as tfl.SymbolicTensor;
    x = tfl.layers.add().apply([x, outer]) as tfl.SymbolicTensor;
  }
  return tfl.model({inputs: input, outputs: dense({units: 1}).apply(x) as tfl.SymbolicTensor});
}

/** Numbers near normal, of the sum of uniform ones. */
function normal(random: Random): number {
  let sum = 0;
  for (let i = 0; i < 6; i++) sum += random.next() - 0.5;
  return sum * Math.SQRT2;
}

function normals(count: number, random: Random): Float32Array {
  return Float32Array.from({length: count}, () => normal(random));
}

function linearData(count: number, features: number, random: Random): [tf.Tensor, tf.Tensor] {
  const x = tf.tensor2d(normals(count * features, random), [count, features]);
  const weights = tf.tensor2d(normals(features, random), [features, 1]);
  const y = tf.tidy(() => tf.add(tf.matMul(x, weights), 1));
  weights.dispose();
  return [x, y];
}

/** What a random network with one hidden layer makes of random numbers, and a little noise. */
function teacherData(count: number, features: number, random: Random): [tf.Tensor, tf.Tensor] {
  const x = tf.tensor2d(normals(count * features, random), [count, features]);
  const y = tf.tidy(() => {
    const first = tf.tensor2d(normals(features * 16, random), [features, 16]);
    const second = tf.tensor2d(normals(16, random), [16, 1]);
    const noise = tf.tensor2d(normals(count, random), [count, 1]);
    const inner = tf.tanh(tf.div(tf.matMul(x, first), Math.sqrt(features / 4)));
    return tf.add(tf.matMul(inner, second), tf.mul(noise, 0.1));
  });
  return [x, y];
}

/** Points around three centres in four dimensions. */
function clusters(count: number, random: Random): [tf.Tensor, tf.Tensor] {
  const centres = normals(3 * 4, createRandom(17));
  const labels = Int32Array.from({length: count}, () => Math.floor(3 * random.next()));
  const x = Float32Array.from(
    {length: count * 4},
    (_, i) => centres[4 * labels[Math.floor(i / 4)]! + (i % 4)]! + 0.5 * normal(random),
  );
  const y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 3), 'float32'));
  return [tf.tensor2d(x, [count, 4]), y];
}

/** Frames of a dot that moves straight on, and where it is in the next one. */
function movingDots(count: number, random: Random): [tf.Tensor, tf.Tensor] {
  const side = 16;
  const pixels = new Float32Array(count * FRAMES * side * side);
  const next = new Float32Array(count * 2);
  for (let i = 0; i < count; i++) {
    const [x, y, dx, dy] = Array.from({length: 4}, () => random.next()) as [
      number,
      number,
      number,
      number,
    ];
    const at = (t: number): [number, number] => [
      side * (0.25 + 0.5 * x) + (dx - 0.5) * t,
      side * (0.25 + 0.5 * y) + (dy - 0.5) * t,
    ];
    for (let t = 0; t < FRAMES; t++) {
      const [column, row] = at(t).map(Math.floor) as [number, number];
      pixels[((i * FRAMES + t) * side + row) * side + column] = 1;
    }
    next.set(
      at(FRAMES).map((value) => value / side - 0.5),
      2 * i,
    );
  }
  return [tf.tensor5d(pixels, [count, FRAMES, side, side, 1]), tf.tensor2d(next, [count, 2])];
}

/** Ten figures of four strokes each, turned, moved and of other sizes each time, with noise. */
function digits(count: number, random: Random): [tf.Tensor, tf.Tensor] {
  const strokes = createRandom(7);
  const figures = Array.from({length: 10}, () =>
    Array.from({length: 4}, () => Array.from({length: 4}, () => strokes.next() * 1.6 - 0.8)),
  );
  const values = new Float32Array(count * SIDE * SIDE);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = Math.floor(random.next() * 10);
    drawFigure(figures[labels[i]!]!, values.subarray(i * SIDE * SIDE), random);
  }
  const y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 10), 'float32'));
  return [tf.tensor4d(values, [count, SIDE, SIDE, 1]), y];
}

function drawFigure(figure: readonly number[][], pixels: Float32Array, random: Random): void {
  const angle = 0.35 * normal(random);
  const size = 1 + 0.15 * normal(random);
  const [dx, dy] = [0.12 * normal(random), 0.12 * normal(random)];
  const [cos, sin] = [size * Math.cos(angle), size * Math.sin(angle)];
  const place = (x: number, y: number): [number, number] => [
    cos * x - sin * y + dx,
    sin * x + cos * y + dy,
  ];
  const moved = figure.map(([x1, y1, x2, y2]) => [...place(x1!, y1!), ...place(x2!, y2!)]);
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      const [x, y] = [(2 * column) / (SIDE - 1) - 1, (2 * row) / (SIDE - 1) - 1];
      const nearest = Math.min(...moved.map((stroke) => squaredDistance(x, y, stroke)));
      pixels[row * SIDE + column] = Math.exp(-nearest / 0.01) + 0.1 * random.next();
    }
  }
}

function squaredDistance(x: number, y: number, stroke: readonly number[]): number {
  const [x1, y1, x2, y2] = stroke as [number, number, number, number];
  const [wide, high] = [x2 - x1, y2 - y1];
  const along = ((x - x1) * wide + (y - y1) * high) / (wide * wide + high * high + 1e-9);
  const t = Math.min(1, Math.max(0, along));
  return (x - x1 - t * wide) ** 2 + (y - y1 - t * high) ** 2;
}

function flat([x, y]: [tf.Tensor, tf.Tensor]): [tf.Tensor, tf.Tensor] {
  const rows = tf.reshape(x, [x.shape[0], -1]);
  x.dispose();
  return [rows, y];
}

/** 40 words of 2000, rare and common ones; each word speaks for one of two classes, more or less. */
function bagsOfWords(count: number, random: Random): [tf.Tensor, tf.Tensor] {
  const meanings = normals(2000, createRandom(11));
  const bags = new Float32Array(count * 2000);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let word = 0; word < 40; word++) {
      const index = Math.floor(2000 * random.next() ** 2);
      bags[i * 2000 + index] = 1;
      sum += meanings[index]!;
    }
    labels[i] = sum + normal(random) > 0 ? 1 : 0;
  }
  const y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 2), 'float32'));
  return [tf.tensor2d(bags, [count, 2000]), y];
}

/** Four sums of waves, some points of each, and the first one's next. */
function waves(count: number, random: Random, points = POINTS): [tf.Tensor, tf.Tensor] {
  const values = new Float32Array(count * points * 4);
  const next = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < 4; channel++) {
      const parts = Array.from({length: 3}, () => [random.next() * 1.5, random.next() * 7]);
      const at = (t: number): number =>
        parts.reduce((sum, [speed, phase]) => sum + Math.sin(speed! * t + phase!), 0) / 2;
      for (let t = 0; t < points; t++) {
        values[(i * points + t) * 4 + channel] = at(t) + 0.05 * normal(random);
      }
      if (channel === 0) next[i] = at(points);
    }
  }
  return [tf.tensor3d(values, [count, points, 4]), tf.tensor2d(next, [count, 1])];
}

/** Rows of tokens of a language in which each token is followed by one of four, and the tokens that follow theirs. */
function sentences(count: number, length: number, random: Random): [tf.Tensor, tf.Tensor] {
  const grammar = createRandom(13);
  const followers = Int32Array.from({length: 32 * 4}, () => Math.floor(grammar.next() * 32));
  const tokens = new Int32Array(count * (length + 1));
  for (let i = 0; i < tokens.length; i++) {
    const isFirst = i % (length + 1) === 0;
    const choice = Math.floor(4 * random.next() ** 2);
    tokens[i] = isFirst ? Math.floor(32 * random.next()) : followers[4 * tokens[i - 1]! + choice]!;
  }
  return tf.tidy(() => {
    const all = tf.tensor2d(tokens, [count, length + 1], 'int32');
    const labels = tf.slice(all, [0, 1], [count, length]);
    return [tf.slice(all, [0, 0], [count, length]), tf.expandDims(labels, 2)];
  });
}

/** Some tokens of it, one-hot, and the next. */
function nextTokens(count: number, random: Random, length = 8): [tf.Tensor, tf.Tensor] {
  const [ids, labels] = sentences(count, length, random);
  const [x, y] = tf.tidy(() => {
    const next = tf.reshape(tf.slice(labels, [0, length - 1, 0], [count, 1, 1]), [count]);
    return [ids, next].map((each) => tf.cast(tf.oneHot(each as tf.Tensor2D, 32), 'float32'));
  });
  tf.dispose([ids, labels]);
  return [x!, y!];
}
