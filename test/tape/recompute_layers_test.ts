import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer} from '../../src';
import {allLayers} from '../../src/tfjs/layer_tree';
import {
  areLayersRecomputed,
  isRecomputed,
  recomputedPart,
  withRecomputedLayers,
  type GradientCheckpointing,
} from '../../src/tape/recompute_layers';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {leanOptimizer} from '../../src/tape/lean_optimizer';
import {describeBackends} from '../support/backends';
import {modelZoo, type Specimen} from '../support/model_zoo';

/*
 * One step of gradient descent with each choice of checkpoints moves the weights as stock tfjs does, and how often a layer
 * is called tells which layers ran again.
 */

interface Case {
  title: string;
  build: () => tfl.LayersModel;
  x?: () => tf.Tensor | tf.Tensor[];
  /**
   * How many times as often as without checkpoints these layers are called in a step with 'blocks' and with 'auto'; any other
   * one is called as often. A name with a + means all layers of that nested model too.
   */
  calls: {blocks: Record<string, number>; auto: Record<string, number>};
}

type Layer = tfl.layers.Layer;
type Symbolic = tfl.SymbolicTensor;
const {dense, lstm} = tfl.layers;

/** Two matrices; takes one input or two, gives as many outputs. Empties its list of inputs, as a layer may. */
class Mixer extends tfl.layers.Layer {
  protected kernels: tfl.LayerVariable[] = [];

  static get className(): string {
    return 'Mixer';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const width = ([inputShape].flat(2) as number[]).at(-1)!;
    const init = tfl.initializers.randomNormal({seed: 3});
    this.kernels = ['a', 'b'].map((name) => this.addWeight(name, [width, width], 'float32', init));
    super.build(inputShape);
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape | tfl.Shape[] {
    return inputShape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor | tf.Tensor[] {
    return tf.tidy(() => {
      const [a, b] = this.kernels.map((kernel) => kernel.read()) as [tf.Tensor, tf.Tensor];
      const mix = (x: tf.Tensor): tf.Tensor => tf.matMul(tf.tanh(tf.matMul(x, a)), b);
      if (!Array.isArray(inputs)) return mix(inputs);
      const y = mix(inputs.pop()!);
      const x = mix(inputs.pop()!);
      return [tf.mul(x, y), tf.add(x, y)];
    });
  }
}

/** A layer with a part that is marked. */
class Parted extends Mixer {
  runs = 0;
  /** Of each call, whether layers were recomputed in it. */
  readonly areRecomputed: boolean[] = [];

  static override get className(): string {
    return 'Parted';
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor | tf.Tensor[] {
    this.areRecomputed.push(areLayersRecomputed());
    return tf.tidy(() => {
      const part = recomputedPart(
        (x: tf.Tensor) => {
          this.runs++;
          return super.call(x) as tf.Tensor;
        },
        this.kernels.map((kernel) => kernel.read()),
      );
      return tf.square(part([inputs].flat()[0]!));
    });
  }
}

const one = (layer: Layer, x: Symbolic): Symbolic => layer.apply(x) as Symbolic;

function chain(inputShape: number[], layers: Layer[], name?: string): tfl.LayersModel {
  const input = tfl.input({shape: inputShape});
  return tfl.model({
    name,
    inputs: input,
    outputs: layers.reduce((x, layer) => one(layer, x), input),
  });
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({length: count}, (_, i) => make(i));
}

const twoDense = (name: string): tfl.LayersModel =>
  chain([4], [dense({units: 5, activation: 'tanh'}), dense({units: 4})], name);

function recurrent(count: number): tfl.LayersModel {
  const layer = (i: number): Layer =>
    tfl.layers.gru({name: `gru${i}`, units: 3, returnSequences: true});
  return chain([4, 2], [...times(count, layer), dense({units: 2})]);
}

/** A nested model of two inputs and outputs, with a custom layer inside; and one before each input. */
function nestedPair(): tfl.LayersModel {
  const inner = [tfl.input({shape: [4]}), tfl.input({shape: [4]})];
  const [a, b] = new Mixer({name: 'mixer'}).apply(inner) as Symbolic[];
  const nested = tfl.model({
    name: 'nested',
    inputs: inner,
    outputs: [one(dense({name: 'last', units: 3}), a!), b!],
  });
  const inputs = [tfl.input({shape: [4]}), tfl.input({shape: [4]})];
  const ends = inputs.map((input, i) => one(twoDense('ab'[i]!), input));
  const [c, d] = nested.apply(ends) as Symbolic[];
  return tfl.model({inputs, outputs: [c!, one(dense({units: 2}), d!)]});
}

const cases: Case[] = [
  {
    title: 'a mask',
    build: () =>
      chain(
        [4],
        [
          tfl.layers.embedding({inputDim: 6, outputDim: 3, maskZero: true}),
          lstm({name: 'first', units: 3, returnSequences: true}),
          lstm({name: 'second', units: 3}),
          dense({units: 2}),
        ],
      ),
    x: () => tf.tensor2d([1, 2, 0, 0, 3, 0, 4, 5], [2, 4], 'int32'),
    calls: {blocks: {first: 2, second: 2}, auto: {}},
  },
  {
    title: 'two masks',
    build: () => {
      const inputs = times(2, () => tfl.input({shape: [4]}));
      const states = inputs.map((input, i) =>
        one(
          lstm({name: `lstm${i}`, units: 3}),
          one(tfl.layers.embedding({inputDim: 6, outputDim: 3, maskZero: true}), input),
        ),
      );
      const both = tfl.layers.concatenate().apply(states) as Symbolic;
      return tfl.model({inputs, outputs: one(dense({units: 2}), both)});
    },
    x: () => [
      tf.tensor2d([1, 2, 0, 0, 3, 0, 4, 5], [2, 4], 'int32'),
      tf.tensor2d([0, 2, 1, 0, 3, 3, 0, 5], [2, 4], 'int32'),
    ],
    calls: {blocks: {lstm0: 2, lstm1: 2}, auto: {}},
  },
  {
    title: 'a mask, layers inside of a layer',
    build: () =>
      chain(
        [4, 2],
        [
          tfl.layers.masking({maskValue: 0}),
          tfl.layers.bidirectional({
            name: 'both',
            layer: lstm({units: 2, name: 'inner'}),
            mergeMode: 'concat',
          }),
          dense({units: 2}),
        ],
      ),
    x: () => tf.tensor3d([1, 2, 0, 0, 3, 0, 4, 5], [1, 4, 2]),
    calls: {
      // It does not go by `apply`, which would make its two layers checkpoints as well.
      blocks: {both: 2},
      auto: {},
    },
  },
  {
    title: 'a recurrent layer with an initial state from outside',
    build: () => {
      const [x, state] = [tfl.input({shape: [3, 2]}), tfl.input({shape: [3]})];
      const cell = tfl.layers.gru({name: 'gru', units: 3});
      const made = cell.apply(x, {initialState: [one(dense({units: 3}), state)]}) as Symbolic;
      return tfl.model({inputs: [x, state], outputs: one(dense({units: 2}), made)});
    },
    calls: {blocks: {gru: 2}, auto: {}},
  },
  {
    title: 'a stateful recurrent layer, which is no checkpoint',
    build: () => {
      const x = tfl.input({batchShape: [2, 3, 2]});
      return tfl.model({
        inputs: x,
        outputs: one(dense({units: 2}), one(lstm({name: 'state', units: 3, stateful: true}), x)),
      });
    },
    calls: {blocks: {}, auto: {}},
  },
  {
    title: 'a layer of two inputs and two outputs, used twice',
    build: () => {
      const inputs = [tfl.input({shape: [4]}), tfl.input({shape: [4]})];
      const mixer = new Mixer({name: 'mixer'});
      const [a, b] = mixer.apply(mixer.apply(inputs)) as Symbolic[];
      return tfl.model({inputs, outputs: [one(dense({units: 2}), a!), one(dense({units: 3}), b!)]});
    },
    // tfjs calls a layer once for each of its outputs. Of what this makes of the first use a half goes nowhere.
    calls: {blocks: {mixer: 1.5}, auto: {}},
  },
  {
    title: 'a layer of two outputs of which one is used',
    build: () => {
      const inputs = [tfl.input({shape: [4]}), tfl.input({shape: [4]})];
      const [, b] = new Mixer({name: 'mixer'}).apply(inputs) as Symbolic[];
      return tfl.model({inputs, outputs: one(dense({units: 3}), b!)});
    },
    calls: {blocks: {mixer: 2}, auto: {}},
  },
  {
    title: 'nested models, and one that holds them, which is no checkpoint',
    build: () => chain([4], [chain([4], ['a', 'b', 'c'].map(twoDense), 'body'), dense({units: 2})]),
    calls: {blocks: {'a+': 2, 'b+': 2, 'c+': 2}, auto: {'a+': 2, 'b+': 2, 'c+': 2}},
  },
  {
    title: 'two recurrent layers, of which half would be held all the same',
    build: () => recurrent(2),
    calls: {blocks: {gru0: 2, gru1: 2}, auto: {}},
  },
  {
    title: 'three recurrent layers',
    build: () => recurrent(3),
    calls: {blocks: {gru0: 2, gru1: 2, gru2: 2}, auto: {gru0: 2, gru1: 2, gru2: 2}},
  },
  {
    title: 'a layer that is used three times',
    build: () => {
      const input = tfl.input({shape: [4, 3]});
      const often = tfl.layers.gru({name: 'often', units: 3, returnSequences: true});
      return tfl.model({inputs: input, outputs: one(often, one(often, one(often, input)))});
    },
    calls: {blocks: {often: 2}, auto: {often: 2}},
  },
  {
    title: 'a nested model of two inputs and outputs, with a custom layer inside',
    build: nestedPair,
    // As many numbers as are worth it, for the weights of the custom layer: 32.
    x: () => times(2, (i) => tf.randomNormal([8, 4], 0, 1, 'float32', i + 1)),
    calls: {
      blocks: {'a+': 2, 'b+': 2, nested: 2, mixer: 2, last: 2},
      // In its own second run half of the calls go nowhere.
      auto: {'a+': 2, 'b+': 2, nested: 2, mixer: 2.5, last: 2},
    },
  },
  {
    title: 'the same on too few numbers to run the inside apart',
    build: nestedPair,
    x: () => times(2, (i) => tf.randomNormal([7, 4], 0, 1, 'float32', i + 1)),
    calls: {
      blocks: {'a+': 2, 'b+': 2, nested: 2, mixer: 2, last: 2},
      auto: {'a+': 2, 'b+': 2, nested: 2, mixer: 2, last: 2},
    },
  },
  {
    title: 'batch normalization inside of a nested model',
    build: () => {
      const block = (name: string): tfl.LayersModel =>
        chain(
          [4],
          [
            dense({units: 5, useBias: false}),
            tfl.layers.batchNormalization(),
            dense({units: 4, activation: 'tanh'}),
          ],
          name,
        );
      return chain([4], [...['a', 'b', 'c'].map(block), dense({units: 2})]);
    },
    calls: {blocks: {'a+': 2, 'b+': 2, 'c+': 2}, auto: {'a+': 2, 'b+': 2, 'c+': 2}},
  },
  {
    title: 'dense layers, which are too small for a checkpoint',
    build: () => chain([4], [dense({units: 4}), dense({units: 2})]),
    calls: {blocks: {}, auto: {}},
  },
];

describeBackends('recomputed layers', function (this: Mocha.Suite, backend) {
  if (backend === 'webgpu') return; // which layers run again does not depend on the backend
  for (const {title, build, x, calls} of cases) {
    for (const gradientCheckpointing of ['blocks', 'auto', 'none'] as const) {
      it(`${title}: '${gradientCheckpointing}'`, async () => {
        const model = build();
        const data = x?.() ?? model.inputs.map((input, i) => randomOf(input, i));
        const expected =
          gradientCheckpointing === 'none' ? {} : named(model, calls[gradientCheckpointing]);
        const inputs = [data].flat();
        const y = model.outputs.map(({shape}) =>
          tf.ones([inputs[0]!.shape[0], ...(shape.slice(1) as number[])]),
        );
        expect(await compare(model, {x: inputs, y}, gradientCheckpointing)).to.deep.equal(expected);
      });
    }
  }

  for (const kind of modelZoo) {
    for (const gradientCheckpointing of ['blocks', 'auto'] as const) {
      it(`${kind.title}: '${gradientCheckpointing}'`, async () => {
        const {model, createData, loss} = kind.build();
        const {x, y} = createData(2);
        const again = await compare(model, {x: [x], y: [y]}, gradientCheckpointing, loss);
        if (kind.title === 'LLaMA' || kind.title === 'gpt-tfjs') {
          const blocks = model.layers.filter(({name}) => /(\/h\/|layers\.)\d$/.test(name));
          expect(blocks).to.have.lengthOf(3);
          for (const {name} of blocks) expect(again[name]).to.equal(2);
        }
      });
    }
  }

  // Its weights are 32 numbers: 64 in its inputs make it worth it.
  for (const [gradientCheckpointing, rows, runs] of [
    ['none', 16, 1],
    ['blocks', 16, 2],
    ['auto', 15, 2],
    ['auto', 16, 3],
  ] as const) {
    it(`a part of a layer runs ${runs} times on ${rows * 4} numbers with '${gradientCheckpointing}'`, async () => {
      const parted = new Parted({});
      const model = chain([4], [parted, twoDense('a'), twoDense('b'), dense({units: 2})]);
      const data = {x: [tf.randomNormal([rows, 4], 0, 1, 'float32', 1)], y: [tf.ones([rows, 2])]};
      await compare(model, data, gradientCheckpointing);
      expect(parted.runs - 1, 'runs, without the one with stock tfjs').to.equal(runs);
      const inSegments = gradientCheckpointing === 'none' ? [false] : [true, true];
      expect(parted.areRecomputed).to.deep.equal([false, ...inSegments]);
    });
  }

  for (const gradientCheckpointing of ['auto', 'blocks'] as const) {
    it(`runs each layer of a model once that a custom loop calls, as in fit, with '${gradientCheckpointing}'`, () => {
      const layers = [dense({units: 4}), dense({units: 4}), dense({units: 1})];
      const model = chain([3], layers);
      const calls = layers.map((layer) => {
        const call = layer.call.bind(layer);
        let count = 0;
        layer.call = (...args) => {
          count++;
          return call(...args);
        };
        return () => count;
      });
      const x = tf.ones([2, 3]);
      const optimizer = new OwLoreOptimizer({gradientCheckpointing});
      optimizer.minimize(() => tf.mean(model.apply(x, {training: true}) as tf.Tensor));
      expect(calls.map((count) => count())).to.deep.equal([1, 1, 1]);
      tf.dispose(x);
      model.dispose();
      optimizer.dispose();
    });
  }

  it('runs a layer twice, also where it is asked for twice', () => {
    const parted = new Parted({});
    const x = tf.ones([16, 4]);
    parted.apply(x);
    const model = chain([4], [parted]);
    const asked = (): tf.Scalar =>
      withRecomputedLayers('blocks', () => tf.mean(model.apply(x) as tf.Tensor));
    const before = parted.runs;
    const {value, grads} = variableGrads(() => withRecomputedLayers('blocks', asked));
    expect(parted.runs - before).to.equal(2);
    tf.dispose([x, value, ...Object.values(grads)]);
    model.dispose();
  });

  it('says outside of layers, too, whether they are recomputed', () => {
    for (const [which, expected] of [
      ['auto', true],
      ['blocks', true],
      ['none', false],
    ] as const)
      expect(withRecomputedLayers(which, areLayersRecomputed), which).to.equal(expected);
    expect(areLayersRecomputed()).to.equal(false);
  });

  for (const [which, count, expected] of [
    ['auto', 2, false],
    ['auto', 3, true],
    ['blocks', 1, true],
    ['none', 3, false],
  ] as const) {
    it(`tells with '${which}' of each layer whether it is one of them: ${count} recurrent layers, one stateful, a head`, () => {
      const state = lstm({units: 3, returnSequences: true, stateful: true});
      const input = tfl.input({batchShape: [2, 4, 2]});
      const often = times(count, () => tfl.layers.gru({units: 3, returnSequences: true}));
      const layers = [...often, state, dense({units: 2})];
      const outputs = layers.reduce((x, layer) => one(layer, x), input);
      const model = tfl.model({inputs: input, outputs});
      expect(layers.map((layer) => isRecomputed(layer, which))).to.deep.equal([
        ...often.map(() => expected),
        ...[false, false],
      ]);
      expect(isRecomputed(model, which), 'the model itself').to.equal(false);
      model.dispose();
    });
  }

  it('drops the same out twice', async () => {
    const linear = (units: number): Layer => dense({units, useBias: false});
    const block = (): tfl.LayersModel =>
      chain([4], [linear(20), tfl.layers.dropout({rate: 0.5}), linear(4)]);
    const model = chain([4], [block(), block()]);
    const x = tf.ones([3, 4]);
    const before = await read(model);
    // The sum of the outputs is linear in each kernel: Σ w·∂f/∂w = f by Euler, for the masks that f was computed with.
    model.compile({
      optimizer: leanOptimizer(tf.train.sgd(1)),
      loss: (_, outputs) => tf.sum(outputs),
    });
    const value = (await model.trainOnBatch(x, tf.zeros([3, 4]))) as number;
    for (const [i, kernel] of (await read(model)).entries()) {
      const euler = kernel.reduce((sum, w, j) => sum + before[i]![j]! * (before[i]![j]! - w), 0);
      expect(euler).to.be.closeTo(value, 1e-4 * (1 + Math.abs(value)));
    }
    model.dispose();
    x.dispose();
  });
});

describeBackends('random numbers of a step', (backend) => {
  if (backend === 'webgpu') return; // they are drawn on the host
  const blocks = (rate: number): tfl.LayersModel => {
    const linear = (units: number, seed: number): Layer =>
      dense({units, kernelInitializer: tfl.initializers.glorotUniform({seed})});
    const block = (seed: number): tfl.LayersModel =>
      chain([4], [linear(8, seed), tfl.layers.dropout({rate}), linear(4, seed + 1)]);
    return chain([4], [block(1), block(3), linear(2, 5)]);
  };
  const x = (): tf.Tensor => tf.randomNormal([6, 4], 0, 1, 'float32', 1);

  it("are those that stock tfjs draws: a model with dropout has stock's losses", async () => {
    const losses: number[][] = [];
    const draws: number[] = [];
    for (const optimizer of [tf.train.sgd(0.1), leanOptimizer(tf.train.sgd(0.1))]) {
      const model = blocks(0.3);
      const [inputs, y] = [x(), tf.ones([6, 2])];
      model.compile({optimizer, loss: 'meanSquaredError'});
      let drawn = 0;
      const random = (): number => Math.abs(Math.sin(++drawn) * 1e4) % 1;
      const own: number[] = [];
      await withRandom(random, async () => {
        for (let i = 0; i < 5; i++) own.push((await model.trainOnBatch(inputs, y)) as number);
      });
      losses.push(own);
      draws.push(drawn);
      model.dispose();
      optimizer.dispose();
      tf.dispose([inputs, y]);
    }
    expect(draws).to.deep.equal([10, 10]);
    expect(losses[1]).to.deep.equal(losses[0]);
    expect(new Set(losses[0])).to.have.property('size', 5);
  });

  it('are none for checkpoints, bases and their refreshes', async () => {
    const model = blocks(0);
    const [inputs, y] = [x(), tf.ones([6, 2])];
    const optimizer = new OwLoreOptimizer({rank: 1, refreshInterval: 1, project: /./});
    model.compile({optimizer, loss: 'meanSquaredError'});
    await withRandom(
      () => {
        throw new Error('drawn');
      },
      async () => {
        for (let i = 0; i < 3; i++) await model.trainOnBatch(inputs, y);
      },
    );
    model.dispose();
    optimizer.dispose();
    tf.dispose([inputs, y]);
  });
});

async function withRandom(random: () => number, body: () => Promise<void>): Promise<void> {
  const before = Math.random;
  Math.random = random;
  try {
    await body();
  } finally {
    Math.random = before;
  }
}

/**
 * Trains one step with stock tfjs and one with checkpoints, from the same weights, and compares the weights after it.
 *
 * @returns The layers with weights that were called more often with checkpoints, and how many times as often.
 */
async function compare(
  model: tfl.LayersModel,
  {x, y}: {x: tf.Tensor[]; y: tf.Tensor[]},
  gradientCheckpointing: GradientCheckpointing,
  loss: Specimen['loss'] = 'meanSquaredError',
): Promise<Record<string, number>> {
  const start = model.getWeights().map((weight) => tf.clone(weight));
  const before = await read(model);
  const step = async (optimizer: tf.Optimizer): Promise<Map<Layer, number>> => {
    model.setWeights(start);
    model.resetStates();
    model.compile({optimizer, loss});
    const calls = await countingCalls(() => model.trainOnBatch(x, y));
    optimizer.dispose();
    return calls;
  };
  const onceEach = await step(tf.train.sgd(1));
  const {numTensors} = tf.memory();
  const stock = await read(model);
  const calls = await step(leanOptimizer(tf.train.sgd(1), {gradientCheckpointing}));
  expect(tf.memory().numTensors, 'tensors').to.equal(numTensors);
  const lean = await read(model);

  // The gradient, w − w′, has rounding errors of the weights and of sums in another order.
  stock.forEach((weight, i) => {
    const scale = Math.max(
      ...weight.map(Math.abs),
      ...weight.map((w, j) => Math.abs(w - before[i]![j]!)),
    );
    weight.forEach((w, j) => expect(lean[i]![j]!).to.be.closeTo(w, 1e-5 * (1 + scale)));
  });
  expect(stock).not.to.deep.equal(before);
  model.dispose();
  tf.dispose([start, x, y]);
  return Object.fromEntries(
    [...calls].flatMap(([layer, count]) => {
      const times = count / onceEach.get(layer)!;
      return times > 1 && layer.weights.length > 0 ? [[layer.name, times] as const] : [];
    }),
  );
}

/** How often each layer is called in `body`. */
async function countingCalls(body: () => Promise<unknown>): Promise<Map<Layer, number>> {
  const counts = new Map<Layer, number>();
  const prototype = tfl.layers.Layer.prototype as {apply: Layer['apply']};
  const {apply} = prototype;
  prototype.apply = function (this: Layer, ...args) {
    counts.set(this, (counts.get(this) ?? 0) + 1);
    return apply.apply(this, args);
  };
  try {
    await body();
  } finally {
    prototype.apply = apply;
  }
  return counts;
}

/** Layer names with their counts, `+` resolved. */
function named(model: tfl.LayersModel, calls: Record<string, number>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(calls).flatMap(([name, count]) => {
      if (!name.endsWith('+')) return [[name, count] as const];
      const nested = allLayers(model).find(({layer}) => layer.name === name.slice(0, -1))!.layer;
      const inside = allLayers(nested as tfl.LayersModel).map(({layer}) => layer);
      return [nested, ...inside]
        .filter(({weights}) => weights.length > 0)
        .map((layer) => [layer.name, count] as const);
    }),
  );
}

async function read(model: tfl.LayersModel): Promise<number[][]> {
  return Promise.all(model.getWeights().map(async (weight) => [...(await weight.data())]));
}

function randomOf({shape}: Symbolic, i: number): tf.Tensor {
  const [rows, ...rest] = shape as [number | null, ...number[]];
  return tf.randomNormal([rows ?? 2, ...rest], 0, 1, 'float32', i + 1);
}
