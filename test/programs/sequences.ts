/** Programs that read or write sequences: recurrent layers, embeddings, attention. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfd from '@tensorflow/tfjs-data';
import * as tfl from '@tensorflow/tfjs-layers';
import {around, lossOf, normal, numbers, oneHot, times} from './data';
import type {Program} from './program';

const {dense, embedding, flatten, gru, lstm, timeDistributed} = tfl.layers;

/** 3 + 5 = 8 as characters: an encoder's last state is repeated for a decoder. */
const addition: Program = {
  title: 'addition of numbers, written out',
  uses: 'LSTM, RepeatVector, TimeDistributed; fit in a loop, with validationData',
  async run(trainer) {
    const characters = '0123456789+';
    const code = (text: string): number[] => Array.from(text, (c) => characters.indexOf(c));
    const sums = times(100, (i) => [Math.floor(i / 10), i % 10] as const);
    const encode = (rows: typeof sums) => ({
      x: oneHot(
        rows.map(([a, b]) => code(`${a}+${b}`)),
        characters.length,
      ),
      y: oneHot(
        rows.map(([a, b]) => code(String(a + b).padStart(2, '0'))),
        characters.length,
      ),
    });
    const train = encode(sums.filter((_, i) => i % 5 > 0));
    const held = encode(sums.filter((_, i) => i % 5 === 0));
    const model = tfl.sequential();
    model.add(
      lstm({units: 24, recurrentInitializer: 'glorotNormal', inputShape: [3, characters.length]}),
    );
    model.add(tfl.layers.repeatVector({n: 2}));
    model.add(lstm({units: 24, recurrentInitializer: 'glorotNormal', returnSequences: true}));
    model.add(timeDistributed({layer: dense({units: characters.length})}));
    model.add(tfl.layers.activation({activation: 'softmax'}));
    model.compile({
      optimizer: trainer.optimizer(0.02),
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
    });
    const callbacks = trainer.callbacks();
    const outcome = await around(
      () => lossOf(model, train.x, train.y),
      async () => {
        for (let i = 0; i < 5; i++) {
          await model.fit(train.x, train.y, {
            ...{epochs: 1, batchSize: 20, verbose: 0, yieldEvery: 'epoch'},
            ...{validationData: [held.x, held.y], callbacks},
          });
          await trainer.round();
        }
      },
    );
    model.dispose();
    tf.dispose([train.x, train.y, held.x, held.y]);
    return outcome;
  },
};

/** The state after the last step, of all steps. */
class LastStep extends tfl.layers.Layer {
  static className = 'LastStep';

  constructor(config: object = {}) {
    super(config);
    this.supportsMasking = true;
  }

  override computeOutputShape([batch, , units]: tfl.Shape): tfl.Shape {
    return [batch!, units!];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const [x] = (Array.isArray(inputs) ? inputs : [inputs]) as [tf.Tensor3D];
      return tf.squeeze(tf.slice(x, [0, x.shape[1] - 1, 0], [-1, 1, -1]), [1]);
    });
  }
}
tf.serialization.registerClass(LastStep);

/** 0412 → 12-04: a decoder, started in the encoder's last state, attends to the encoder's states. */
const dates: Program = {
  title: 'dates from one format to another, with attention',
  uses: 'functional model, masks, initialState, Dot, own layer, own loss',
  async run(trainer) {
    const digits = (n: number): number[] => [Math.floor(n / 10) + 1, (n % 10) + 1]; // 0 is masked
    const start = 11;
    const random = numbers(1);
    const rows = times(96, () => [1 + Math.floor(random() * 12), 1 + Math.floor(random() * 28)]);
    const source = tf.tensor2d(rows.map(([month, day]) => [...digits(month!), ...digits(day!)]));
    const targets = rows.map(([month, day]) => [...digits(day!), ...digits(month!)]);
    const shifted = tf.tensor2d(targets.map((row) => [start, ...row.slice(0, -1)]));
    const y = oneHot(targets, 11);

    const encoderInput = tfl.input({shape: [4]});
    const decoderInput = tfl.input({shape: [4]});
    const embed = (inputDim: number, input: tfl.SymbolicTensor): tfl.SymbolicTensor =>
      embedding({inputDim, outputDim: 12, inputLength: 4, maskZero: true}).apply(
        input,
      ) as tfl.SymbolicTensor;
    const unroll = {units: 16, returnSequences: true} as const;
    const encoded = lstm(unroll).apply(embed(11, encoderInput)) as tfl.SymbolicTensor;
    const last = new LastStep().apply(encoded) as tfl.SymbolicTensor;
    const decoded = lstm(unroll).apply(embed(12, decoderInput), {
      initialState: [last, last],
    }) as tfl.SymbolicTensor;
    const scores = tfl.layers.dot({axes: [2, 2]}).apply([decoded, encoded]);
    const attention = tfl.layers.activation({activation: 'softmax'}).apply(scores);
    const context = tfl.layers
      .dot({axes: [2, 1]})
      .apply([attention as tfl.SymbolicTensor, encoded]) as tfl.SymbolicTensor;
    const both = tfl.layers.concatenate().apply([context, decoded]);
    const hidden = timeDistributed({layer: dense({units: 16, activation: 'tanh'})}).apply(both);
    const output = timeDistributed({layer: dense({units: 11})}).apply(hidden);
    const model = tfl.model({
      inputs: [encoderInput, decoderInput],
      outputs: output as tfl.SymbolicTensor,
    });
    model.compile({
      optimizer: trainer.optimizer(0.02),
      loss: (labels: tf.Tensor, logits: tf.Tensor) =>
        tf.tidy(() => tf.neg(tf.mean(tf.sum(tf.mul(labels, tf.logSoftmax(logits)), -1)))),
    });
    await trainer.round();
    const outcome = await around(
      () => lossOf(model, [source, shifted], y),
      async () => {
        await model.fit([source, shifted], y, {
          ...{epochs: 6, batchSize: 32, verbose: 0},
          callbacks: trainer.callbacks(),
        });
      },
    );
    await trainer.round();
    model.dispose();
    tf.dispose([source, shifted, y]);
    return outcome;
  },
};

/** Sentences of invented words, good or bad by what most of their words are, padded to one length. */
function reviews(count: number, seed: number): {x: tf.Tensor2D; y: tf.Tensor2D} {
  const random = numbers(seed);
  const rows = times(count, (i) => {
    const good = i % 2;
    const words = times(5 + Math.floor(random() * 4), () => {
      const kind = random() < 0.7 ? good : 1 - good;
      return 1 + 12 * kind + Math.floor(random() * 12);
    });
    return {words: [...times(8 - words.length, () => 0), ...words], good};
  });
  return {
    x: tf.tensor2d(rows.map(({words}) => words)),
    y: tf.tensor2d(rows.map(({good}) => [good])),
  };
}

function sentiment(kind: string, build: () => tfl.layers.Layer[], noBlocks?: string): Program {
  return {
    title: `sentiment of sentences, ${kind}`,
    uses: 'Embedding, sigmoid, binaryCrossentropy, validationSplit',
    ...(noBlocks === undefined ? {} : {noBlocks}),
    async run(trainer) {
      const {x, y} = reviews(80, 2);
      const model = tfl.sequential();
      model.add(embedding({inputDim: 25, outputDim: 16, inputLength: 8}));
      for (const layer of build()) model.add(layer);
      model.add(dense({units: 1, activation: 'sigmoid'}));
      model.compile({
        optimizer: trainer.optimizer(0.02),
        loss: 'binaryCrossentropy',
        metrics: ['acc'],
      });
      await trainer.round();
      const outcome = await around(
        () => lossOf(model, x, y),
        async () => {
          await model.fit(x, y, {
            ...{epochs: 6, batchSize: 16, validationSplit: 0.2, verbose: 0},
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
}

/** A temperature and three measurements that follow it, hour by hour. */
function weather(hours: number): number[][] {
  const random = numbers(3);
  return times(hours, (hour) => {
    const temperature = Math.sin(hour / 4) + 0.3 * Math.sin(hour / 15);
    return [
      temperature + 0.1 * normal(random),
      Math.cos(hour / 4) + 0.1 * normal(random),
      0.5 * temperature + 0.3 * normal(random),
      normal(random),
    ];
  });
}

const lookBack = 6;
const delay = 3;

/** Batches without end, of windows that begin somewhere between two hours. */
function* windows(rows: number[][], from: number, to: number, batchSize: number, seed: number) {
  const random = numbers(seed);
  for (;;) {
    const starts = times(batchSize, () => from + Math.floor(random() * (to - from)));
    yield {
      xs: tf.tensor3d(starts.map((start) => rows.slice(start, start + lookBack))),
      ys: tf.tensor2d(starts.map((start) => [rows[start + lookBack + delay]![0]!])),
    };
  }
}

function weatherProgram(
  kind: string,
  uses: string,
  build: () => tfl.layers.Layer[],
  noBlocks?: string,
): Program {
  return {
    title: `weather some hours on, ${kind}`,
    uses: `${uses}; fitDataset of a generator, validationData as a dataset`,
    ...(noBlocks === undefined ? {} : {noBlocks}),
    async run(trainer) {
      const rows = weather(240);
      const model = tfl.sequential({layers: [...build(), dense({units: 1})]});
      model.compile({optimizer: trainer.optimizer(0.01), loss: 'meanAbsoluteError'});
      const test = windows(rows, 180, 230, 48, 4).next().value as {xs: tf.Tensor; ys: tf.Tensor};
      await trainer.round();
      const outcome = await around(
        () => lossOf(model, test.xs, test.ys),
        async () => {
          await model.fitDataset(
            tfd.generator(() => windows(rows, 0, 180, 16, 5)),
            {
              ...{batchesPerEpoch: 8, epochs: 4, verbose: 0, callbacks: trainer.callbacks()},
              ...{validationData: tfd.generator(() => windows(rows, 180, 230, 16, 6)).take(2)},
              validationBatches: 2,
            },
          );
        },
      );
      await trainer.round();
      model.dispose();
      tf.dispose([test.xs, test.ys]);
      return outcome;
    },
  };
}

const inputShape = [lookBack, 4];

/** Next characters of a text; between two epochs the program writes some itself. */
const textGeneration: Program = {
  title: 'text, character by character',
  uses: 'two LSTM, fit in a loop with one epoch each, predict in between',
  async run(trainer) {
    const text = 'the owl sees the mole and the mole sees the owl '.repeat(3);
    const characters = [...new Set(text)];
    const codes = Array.from(text, (c) => characters.indexOf(c));
    const length = 5;
    const starts = times(codes.length - length, (i) => i).filter((i) => i % 2 === 0);
    const x = oneHot(
      starts.map((i) => codes.slice(i, i + length)),
      characters.length,
    );
    const y = oneHot(
      starts.map((i) => codes[i + length]!),
      characters.length,
    );
    const model = tfl.sequential();
    const shape = [length, characters.length];
    model.add(
      lstm({
        units: 20,
        recurrentInitializer: 'glorotNormal',
        returnSequences: true,
        inputShape: shape,
      }),
    );
    model.add(lstm({units: 20, recurrentInitializer: 'glorotNormal'}));
    model.add(dense({units: characters.length, activation: 'softmax'}));
    model.compile({optimizer: trainer.optimizer(0.02), loss: 'categoricalCrossentropy'});
    const callbacks = trainer.callbacks();
    const write = async (): Promise<string> => {
      let written = text.slice(0, length);
      for (let i = 0; i < 3; i++) {
        const next = tf.tidy(() => {
          const seen = oneHot(
            [Array.from(written.slice(-length), (c) => characters.indexOf(c))],
            characters.length,
          );
          const logits = tf.div(tf.log(model.predict(seen) as tf.Tensor2D), 0.7);
          return tf.multinomial(logits as tf.Tensor2D, 1, 7);
        });
        written += characters[(await next.data())[0]!]!;
        next.dispose();
      }
      return written;
    };
    const outcome = await around(
      () => lossOf(model, x, y),
      async () => {
        for (let i = 0; i < 5; i++) {
          await model.fit(x, y, {epochs: 1, batchSize: 18, verbose: 0, callbacks});
          await write();
          await trainer.round();
        }
      },
    );
    model.dispose();
    tf.dispose([x, y]);
    return outcome;
  },
};

const oneLayer = 'a layer and its head';

export const sequencePrograms: readonly Program[] = [
  addition,
  dates,
  sentiment('by averages', () => [
    tfl.layers.globalAveragePooling1d({}),
    dense({units: 16, activation: 'relu'}),
    dense({units: 16, activation: 'relu'}),
  ]),
  sentiment('by convolutions', () => [
    tfl.layers.dropout({rate: 0.2}),
    tfl.layers.conv1d({filters: 16, kernelSize: 3, activation: 'relu'}),
    tfl.layers.globalMaxPool1d({}),
    dense({units: 16, activation: 'relu'}),
  ]),
  sentiment('by an LSTM', () => [lstm({units: 12})], oneLayer),
  weatherProgram('by a GRU', 'GRU', () => [gru({units: 12, inputShape})], oneLayer),
  weatherProgram(
    'by a linear model',
    'Flatten, Dense',
    () => [flatten({inputShape})],
    'a head alone',
  ),
  weatherProgram('by convolutions', 'Conv1D, MaxPooling1D', () => [
    tfl.layers.conv1d({filters: 12, kernelSize: 2, activation: 'relu', inputShape}),
    tfl.layers.maxPooling1d({poolSize: 2}),
    tfl.layers.conv1d({filters: 12, kernelSize: 2, activation: 'relu'}),
    flatten(),
  ]),
  textGeneration,
];
