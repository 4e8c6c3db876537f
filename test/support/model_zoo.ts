import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {GPTLMHeadModel} from 'gpt-tfjs/src/model.js';
import type {BlockSelector} from '../../src/index';
import {createLlama} from '../../src/llama';

/** A model to train, and what is known of it without asking the library. */
export interface Specimen {
  model: tfl.LayersModel;
  /** The layers of each block, by the block's name. */
  blocks: Record<string, tfl.layers.Layer[]>;
  /** How the callback is told the blocks. */
  selector: BlockSelector;
  /** The layer that its user freezes. */
  frozen: tfl.layers.Layer;
  loss: string | ((labels: tf.Tensor, outputs: tf.Tensor) => tf.Tensor);
  /** Makes `rows` inputs and labels; the caller disposes them. */
  createData(rows: number): {x: tf.Tensor; y: tf.Tensor};
}

/** A kind of model. */
export interface Kind {
  title: string;
  /** Makes a new, small model of the kind, not yet compiled. */
  build(): Specimen;
}

type Layer = tfl.layers.Layer;
const {add, batchNormalization, dense, gru, lstm} = tfl.layers;

/** One of every kind of model that docs/limits.md names. */
export const modelZoo: readonly Kind[] = [
  {
    title: 'Sequential',
    build() {
      const hidden = times(3, (i) =>
        dense({name: `hidden${i}`, units: 4, activation: 'tanh', inputShape: [4]}),
      );
      const model = tfl.sequential({layers: [...hidden, dense({units: 2})]});
      return regression(model, byName(hidden), hidden[1]!);
    },
  },
  {
    title: 'functional, with skip connections',
    build() {
      const blocks = times(3, (i) => [
        dense({name: `block${i}.fc1`, units: 6, activation: 'tanh'}),
        dense({name: `block${i}.fc2`, units: 4}),
      ]);
      const input = tfl.input({shape: [4]});
      const sum = blocks.reduce((x, block) => apply([add()], [x, apply(block, x)]), input);
      const model = tfl.model({inputs: input, outputs: apply([dense({units: 2})], sum)});
      const named = Object.fromEntries(blocks.map((block, i) => [`block${i}`, block]));
      return regression(model, named, blocks[1]![0]!);
    },
  },
  {
    title: 'models nested two deep',
    build() {
      const blocks = times(3, (i) =>
        chain([4], [dense({units: 6, activation: 'tanh'}), dense({units: 4})], `block${i}`),
      );
      const body = chain([4], [dense({units: 4}), ...blocks], 'body');
      const model = chain([4], [body, dense({units: 2})]);
      return regression(model, byName(blocks), blocks[0]!.layers[1]!);
    },
  },
  {
    title: 'a nested model frozen as a whole, models inside it',
    build() {
      const inner = times(2, () => chain([4], [dense({units: 6}), dense({units: 4})]));
      const encoder = chain([4], inner, 'encoder');
      const hidden = times(3, (i) => dense({name: `hidden${i}`, units: 4, activation: 'tanh'}));
      const model = chain([4], [encoder, ...hidden, dense({units: 2})]);
      const selector = hidden.map(({name}) => name);
      return {...regression(model, byName(hidden), encoder), selector};
    },
  },
  {
    title: 'a layer used twice',
    build() {
      const shared = dense({name: 'shared', units: 4, activation: 'tanh'});
      const between = times(2, (i) => dense({name: `between${i}`, units: 4, activation: 'tanh'}));
      const model = chain([4], [shared, between[0]!, shared, between[1]!, dense({units: 2})]);
      return regression(model, byName([shared, ...between]), between[0]!);
    },
  },
  {
    title: 'LSTM',
    build() {
      const layers = times(3, (i) => lstm({name: `lstm${i}`, units: 3, returnSequences: i < 2}));
      return regression(chain([3, 2], [...layers, dense({units: 2})]), byName(layers), layers[1]!);
    },
  },
  {
    title: 'Bidirectional(LSTM)',
    build() {
      const layers = times(3, (i) =>
        tfl.layers.bidirectional({
          name: `both${i}`,
          layer: lstm({units: 2, returnSequences: i < 2}),
          mergeMode: 'concat',
        }),
      );
      return regression(chain([3, 2], [...layers, dense({units: 2})]), byName(layers), layers[0]!);
    },
  },
  {
    title: 'GRU',
    build() {
      const layers = times(3, (i) => gru({name: `gru${i}`, units: 3, returnSequences: i < 2}));
      return regression(chain([3, 2], [...layers, dense({units: 2})]), byName(layers), layers[2]!);
    },
  },
  {
    title: 'TimeDistributed(Dense)',
    build() {
      const layers = times(3, (i) =>
        tfl.layers.timeDistributed({
          name: `each${i}`,
          layer: dense({units: 4, activation: 'tanh'}),
        }),
      );
      const model = chain([3, 4], [...layers, tfl.layers.flatten(), dense({units: 2})]);
      return regression(model, byName(layers), layers[1]!);
    },
  },
  {
    title: 'batch normalization',
    build() {
      const blocks = times(3, (i) => [
        // A bias before the normalization has no gradient but rounding errors.
        dense({name: `block${i}.fc`, units: 4, useBias: false}),
        batchNormalization({name: `block${i}.norm`}),
        // Nor has beta, if what follows is linear up to another normalization.
        tfl.layers.activation({name: `block${i}.tanh`, activation: 'tanh'}),
      ]);
      const model = chain([4], [...blocks.flat(), dense({units: 2})]);
      const named = Object.fromEntries(blocks.map((block, i) => [`block${i}`, block]));
      return regression(model, named, blocks[1]![1]!);
    },
  },
  {
    title: 'convolutions',
    build() {
      const conv = times(2, (i) =>
        tfl.layers.conv2d({name: `conv${i}`, filters: 3, kernelSize: 2, activation: 'tanh'}),
      );
      const hidden = dense({name: 'hidden', units: 4, activation: 'tanh'});
      const model = chain(
        [8, 8, 2],
        [
          conv[0]!,
          tfl.layers.maxPooling2d({poolSize: 2}),
          conv[1]!,
          tfl.layers.averagePooling2d({poolSize: 2}),
          ...[tfl.layers.flatten(), hidden, dense({units: 2})],
        ],
      );
      return regression(model, byName([...conv, hidden]), conv[1]!);
    },
  },
  {
    title: 'depthwise and separable convolutions',
    build() {
      const sizes = {kernelSize: 2, depthMultiplier: 2, activation: 'tanh'} as const;
      const depthwise = tfl.layers.depthwiseConv2d({name: 'depthwise', ...sizes});
      const separable = tfl.layers.separableConv2d({name: 'separable', filters: 3, ...sizes});
      const conv = tfl.layers.conv2d({name: 'conv', filters: 2, kernelSize: 2});
      const model = chain(
        [5, 5, 2],
        [conv, depthwise, separable, tfl.layers.flatten(), dense({units: 2})],
      );
      return regression(model, byName([conv, depthwise, separable]), conv);
    },
  },
  {
    title: 'LLaMA',
    build() {
      // Which kernels there are is for the tests to say.
      const model = createLlama(
        {
          ...{vocabSize: 11, hiddenSize: 8, intermediateSize: 12},
          ...{numHiddenLayers: 3, numAttentionHeads: 2, initializerRange: 0.3, seed: 1},
        },
        {kernels: 'none'},
      );
      const blocks = times(3, (i) => model.getLayer(`model.layers.${i}`));
      return languageModel(model, byName(blocks), model.getLayer('model.norm'));
    },
  },
  {
    title: 'gpt-tfjs',
    build() {
      const {model} = GPTLMHeadModel({
        ...{name: 'gpt', nLayer: 3, nHead: 2, nEmbd: 8, vocabSize: 11, blockSize: 4},
        ...{dropout: 0, embdDrop: 0, residDrop: 0},
      });
      // Its embeddings start as zeros, of which nothing learns; a pre-trained one has others.
      for (const name of ['gpt/wte', 'gpt/wpe']) randomize(model.getLayer(name));
      const blocks = times(3, (i) => model.getLayer(`gpt/h/${i}`) as tfl.LayersModel);
      return languageModel(model, byName(blocks), blocks[1]!.getLayer('gpt/h/1/ln_1'));
    },
  },
];

/** The kind called `title`. */
export function kindOf(title: string): Kind {
  const kind = modelZoo.find((other) => other.title === title);
  if (!kind) throw new Error(`the zoo has no '${title}'`);
  return kind;
}

function regression(model: tfl.LayersModel, blocks: Specimen['blocks'], frozen: Layer): Specimen {
  const shape = (rows: number, {shape: [, ...rest]}: tfl.SymbolicTensor) => [rows, ...rest];
  return {
    model,
    blocks,
    selector: 'auto',
    frozen,
    loss: 'meanSquaredError',
    createData: (rows) => ({
      x: tf.randomNormal(shape(rows, model.inputs[0]!) as number[], 0, 1, 'float32', 1),
      y: tf.randomNormal(shape(rows, model.outputs[0]!) as number[], 0, 1, 'float32', 2),
    }),
  };
}

function languageModel(
  model: tfl.LayersModel,
  blocks: Specimen['blocks'],
  frozen: Layer,
): Specimen {
  return {
    model,
    blocks,
    selector: 'auto',
    frozen,
    loss: (labels, logits) => tf.losses.softmaxCrossEntropy(labels, logits),
    createData: (rows) => ({
      x: tf.randomUniform([rows, 4], 0, 11, 'int32', 1),
      y: tf.tidy(() => {
        const tokens = tf.randomUniform([rows, 4], 0, 11, 'int32', 2);
        return tf.cast(tf.oneHot(tokens, 11), 'float32');
      }),
    }),
  };
}

function chain(inputShape: number[], layers: Layer[], name?: string): tfl.LayersModel {
  const input = tfl.input({shape: inputShape});
  return tfl.model({name, inputs: input, outputs: apply(layers, input)});
}

function apply(
  layers: Layer[],
  input: tfl.SymbolicTensor | tfl.SymbolicTensor[],
): tfl.SymbolicTensor {
  return layers.reduce((x, layer) => layer.apply(x) as tfl.SymbolicTensor, input) as never;
}

function randomize(layer: Layer): void {
  tf.tidy(() => {
    layer.setWeights(
      layer.weights.map(({shape}, i) => tf.randomNormal(shape as number[], 0, 1, 'float32', i + 1)),
    );
  });
}

function byName(layers: Layer[]): Specimen['blocks'] {
  return Object.fromEntries(layers.map((layer) => [layer.name, [layer]]));
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({length: count}, (_, i) => make(i));
}
