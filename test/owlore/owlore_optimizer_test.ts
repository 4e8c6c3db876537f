import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  cosineDecay,
  LayerSamplingCallback,
  leanOptimizer,
  linearDecay,
  owlore,
  OwLoreOptimizer,
  warmup,
} from '../../src/index';
import type {BasisFunction, LearningRate, OwLoreOptions} from '../../src/index';
import {uninstallKernels} from '../../src/kernels/cpu';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import {hasKernel} from '../../src/kernels/run_kernel';
import {backends, defaultBackend, describeBackends} from '../support/backends';
import {forgetLines} from '../../src/common/say_once';
import {freeze} from '../support/freeze';
import {rejection} from '../support/rejection';
import {captureWarnings, expectWarning} from '../support/warnings';

/** `count` steps on the squared distance of `variable` from a target, through `minimize`. */
function descend(optimizer: tf.Optimizer, variable: tf.Variable, count: number): void {
  for (let i = 0; i < count; i++) {
    const cost = optimizer.minimize(
      () => tf.tidy(() => tf.mean(tf.square(tf.sub(variable, 3)))),
      true,
      [variable],
    );
    cost!.dispose();
  }
}

/** Runs `body` and gives back the lines it prints by `console.info`. */
function infoLines(body: () => void): string[] {
  const lines: string[] = [];
  const {info} = console;
  console.info = (line: string) => lines.push(line);
  try {
    body();
  } finally {
    console.info = info;
  }
  return lines;
}

/** One period of all blocks, every layer but the last a block. */
function samplingOf(model: tfl.LayersModel): LayerSamplingCallback[] {
  const blocks = model.layers
    .slice(0, -1)
    .flatMap(({name, trainable}) => (trainable ? [name] : []));
  return [new LayerSamplingCallback({blocks, gamma: blocks.length, interval: 1})];
}

/** A variable that starts at `value`, which it takes over. */
function variableOf(value: tf.Tensor, trainable = true, name?: string): tf.Variable {
  const variable = tf.variable(value, trainable, name);
  value.dispose();
  return variable;
}

async function values(tensor: tf.Tensor): Promise<number[]> {
  return [...(await tensor.data())];
}

describe('OwLoreOptimizer', () => {
  const messages: Array<[OwLoreOptions | Record<string, unknown>, RegExp]> = [
    [{learningRate: -1}, /learningRate must be a number >= 0; got -1/],
    [{learningRate: NaN}, /learningRate must be a number >= 0; got NaN/],
    [{learningRate: {kind: 'step'}}, /learningRate must be .* schedule .* got {"kind":"step"}/],
    [
      {learningRates: {embedding: 0.1}},
      /learningRates must be null or an array of {variables, factor}; got {/,
    ],
    [
      {learningRates: [{variables: 'embedding', factor: 1}]},
      /learningRates\[0\]\.variables must be an array/,
    ],
    [
      {learningRates: [{variables: /x/, factor: -1}]},
      /learningRates\[0\]\.factor must be .* >= 0; got -1/,
    ],
    [{learningRates: [{variables: /x/}]}, /learningRates\[0\]\.factor must be .*; got undefined/],
    [{learningRates: [{variables: /x/, rate: 1}]}, /learningRates\[0\]: unknown option 'rate'/],
    [{learningRates: [null]}, /learningRates\[0\]: options must be a plain object; got null/],
    [{beta1: 1}, /beta1 must be a number >= 0 and <= 0\.99999994.*; got 1/],
    [{beta2: '0.9'}, /beta2 must be a number >= 0 and <= 0\.99999994.*; got '0.9'/],
    [{beta2: 1 - 2 ** -25}, /beta2 must be .* got 0\.9999999701976776/],
    [{epsilon: 0}, /epsilon must be a number > 0; got 0/],
    [{weightDecay: -0.1}, /weightDecay must be a number >= 0; got -0.1/],
    [{decay: 5}, /decay must be 'auto', an array .* got 5/],
    [{project: true}, /project must be 'auto', false, an array .* got true/],
    [{rank: 1.5}, /rank must be an integer >= 1; got 1.5/],
    [{scale: 0}, /scale must be a number > 0; got 0/],
    [{scale: 'root'}, /scale must be a number > 0; got 'root'/],
    [{refreshInterval: 0}, /refreshInterval must be an integer >= 1; got 0/],
    [{side: 'top'}, /side must be one of 'auto', 'paper', 'left', 'right'; got 'top'/],
    [{basis: 'qr'}, /basis must be one of 'randomized', 'svd'; got 'qr'/],
    [{moments: 'zero'}, /moments must be one of 'keep', 'rotate', 'reset'; got 'zero'/],
    [{state: 'drop'}, /state must be one of 'reset', 'keep'; got 'drop'/],
    [{clipNorm: 0}, /clipNorm must be a number > 0; got 0/],
    [{accumulate: 0}, /accumulate must be an integer >= 1; got 0/],
    [
      {nonFinite: 'never'},
      /nonFinite must be one of 'throw', 'skip', 'halve', 'ignore'; got 'never'/,
    ],
    [
      {gradientCheckpointing: 'all'},
      /gradientCheckpointing must be one of 'auto', 'blocks', 'none'; got 'all'/,
    ],
    [{learningrate: 1}, /unknown option 'learningrate'; did you mean 'learningRate'\?/],
  ];
  for (const [options, message] of messages) {
    it(`rejects ${JSON.stringify(options)}`, () => {
      expect(() => new OwLoreOptimizer(options)).to.throw(message);
    });
  }

  it('is made by owlore(learningRate, options), as Adam is by tf.train.adam', () => {
    expect(owlore().getConfig()).to.deep.equal(new OwLoreOptimizer().getConfig());
    const rate = linearDecay(0.1, 5);
    expect(owlore(rate, {rank: 4}).getConfig()).to.deep.equal(
      new OwLoreOptimizer({learningRate: rate, rank: 4}).getConfig(),
    );
    expect(() => owlore(-1)).to.throw(/learningRate must be a number >= 0; got -1/);
    for (const options of [{learningRate: 1}, 5] as object[]) {
      expect(() => owlore(1, options)).to.throw(/^owlore\(learningRate, options\): /);
    }
  });

  it('says how a learning rate is given alone', () => {
    for (const rate of [0.1, 1]) {
      expect(() => new OwLoreOptimizer(rate as OwLoreOptions)).to.throw(
        `OwLoreOptimizer: options must be a plain object, such as {learningRate: ${rate}}; got ${rate}`,
      );
    }
  });

  it('rejects schedules that are out of range', () => {
    const schedule = {kind: 'linearDecay', learningRate: 1, steps: 2, end: 0, from: 1};
    expect(() => new OwLoreOptimizer({learningRate: schedule as LearningRate})).to.throw(
      /OwLoreOptimizer: linearDecay: unknown option 'from'/,
    );
    expect(() => linearDecay(1, 5, 0.1 as unknown as object)).to.throw(
      /options must be a plain object/,
    );
    expect(() => linearDecay(-1, 5)).to.throw(/linearDecay learningRate must be a number >= 0/);
    expect(() => cosineDecay(1, 0)).to.throw(/cosineDecay steps must be an integer >= 1; got 0/);
    expect(() => warmup(0, 1)).to.throw(/warmup steps must be an integer >= 1; got 0/);
  });

  it('is what instanceof says, which no other optimizer is', () => {
    class Derived extends OwLoreOptimizer {}
    const [own, derived, adam] = [new OwLoreOptimizer(), new Derived(), tf.train.adam(0.1)];
    for (const optimizer of [own, derived, adam]) {
      expect(optimizer instanceof tf.Optimizer).to.equal(true);
      expect(optimizer instanceof OwLoreOptimizer).to.equal(optimizer !== adam);
      expect(optimizer instanceof Derived).to.equal(optimizer === derived);
    }
    for (const other of [leanOptimizer(adam), {}, null, undefined, 1] as unknown[]) {
      expect(other instanceof OwLoreOptimizer).to.equal(false);
    }
  });

  describe('without a variable for a name', () => {
    const warnings = (options: OwLoreOptions, steps = 1): string[] =>
      captureWarnings(() => {
        const variables = ['blocks/kernel', 'head/bias'].map((name) =>
          variableOf(tf.ones([2]), true, name),
        );
        const optimizer = new OwLoreOptimizer(options);
        for (let step = 0; step < steps; step++) {
          // of no variable in the first call
          tf.tidy(() => optimizer.applyGradients(step === 0 ? {} : {'head/bias': tf.ones([2])}));
        }
        optimizer.dispose();
        tf.dispose(variables);
      });
    const line = (option: string, names: string): string =>
      `OwLoreOptimizer: ${option} has ${names}, but no variable is called that; variables have names such as 'head/bias'`;

    it('says so in the first step with a gradient, once, for each option', () => {
      const options: OwLoreOptions = {
        project: ['blocks', 'nowhere', 'head/kernel'],
        decay: /no such name/,
        learningRates: [
          {variables: ['head'], factor: 2},
          {variables: ['nor this'], factor: 3},
        ],
      };
      const lines = [
        line('project', "'nowhere', 'head/kernel'"),
        line('decay', '/no such name/'),
        line('learningRates', "'nor this'"),
      ];
      expect(warnings(options)).to.deep.equal([]);
      expect(warnings(options, 3)).to.deep.equal(lines);
    });

    it('looks once for each optimizer', () => {
      const variable = variableOf(tf.ones([2]), true, 'head/bias');
      const optimizer = new OwLoreOptimizer({project: ['nowhere']});
      const step = (): string[] =>
        captureWarnings(() => tf.tidy(() => optimizer.applyGradients({'head/bias': tf.ones([2])})));
      expect(step()).to.deep.equal([line('project', "'nowhere'")]);
      forgetLines();
      expect(step()).to.deep.equal([]);
      optimizer.dispose();
      variable.dispose();
    });

    it('says nothing of defaults, functions, and names that are there', () => {
      for (const options of [
        {},
        {project: false},
        {project: () => false, decay: () => false},
        {project: ['blocks/kernel', 'head'], decay: /bias$/},
      ] as OwLoreOptions[]) {
        expect(warnings(options, 2)).to.deep.equal([]);
      }
    });
  });

  it('has the kernels of the backend from the start, for a backend that is set since, and none if told so', async function () {
    if (!backends.includes('cpu')) this.skip();
    await tf.setBackend('cpu');
    const isThere = (): boolean => hasKernel(OwLoreAdam);
    const variable = variableOf(tf.ones([2]), true, 'kernels');
    const loss = (): tf.Scalar => tf.sum(variable);
    const uses: Array<(optimizer: OwLoreOptimizer) => unknown> = [
      () => undefined,
      (optimizer) => optimizer.ready(),
      (optimizer) => optimizer.minimize(loss, false, [variable]),
      (optimizer) => tf.dispose(optimizer.computeGradients(loss, [variable])),
      (optimizer) => optimizer.applyGradients({}),
    ];
    for (const [i, use] of uses.entries()) {
      for (const kernels of ['auto', 'none'] as const) {
        uninstallKernels();
        const optimizer = new OwLoreOptimizer({kernels});
        if (i > 0) uninstallKernels();
        await use(optimizer);
        expect(isThere(), `${i}: ${kernels}`).to.equal(kernels === 'auto');
        optimizer.dispose();
      }
    }
    variable.dispose();
    await tf.setBackend(defaultBackend);
  });

  it('computes gradients without a step, as tf.variableGrads does', () => {
    const [a, b] = ['a', 'b'].map((name) => variableOf(tf.tensor1d([1, 2]), true, `grads/${name}`));
    const loss = (): tf.Scalar => tf.sum(tf.mul(tf.square(a!), b!));
    const before = tf.memory().numTensors;
    const optimizer = new OwLoreOptimizer();
    const {value, grads} = optimizer.computeGradients(loss, [a!]);
    expect([...value.dataSync()]).to.deep.equal([9]);
    expect(Object.keys(grads)).to.deep.equal(['grads/a']);
    expect([...grads['grads/a']!.dataSync()]).to.deep.equal([2, 8]);
    expect(optimizer.iterations).to.equal(0);
    tf.dispose([value, grads]);
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([a!, b!]);
  });

  it('leaves a fit with an optimizer of tfjs as it is', async () => {
    const model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [2]})]});
    model.compile({optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError'});
    const [x, y] = [tf.ones([4, 2]), tf.ones([4, 1])];
    const {history} = await model.fit(x, y, {epochs: 2, verbose: 0});
    expect(history.loss).to.have.length(2);
    model.dispose();
    tf.dispose([x, y]);
  });

  it('is made of a configuration that says how its default of the rank was meant', () => {
    const lines = (options: OwLoreOptions): string[] =>
      infoLines(() => {
        const matrix = variableOf(tf.ones([3, 3]), true, 'small/kernel');
        const config = new OwLoreOptimizer(options).getConfig();
        const optimizer = OwLoreOptimizer.fromConfig<OwLoreOptimizer>(OwLoreOptimizer, config);
        tf.tidy(() => optimizer.applyGradients({'small/kernel': tf.ones([3, 3])}));
        optimizer.dispose();
        matrix.dispose();
      });
    expect(lines({})).to.deep.equal([]);
    expect(lines({project: false})).to.deep.equal([]);
    expect(lines({rank: 7})).to.deep.equal([
      'OwLoreOptimizer: no matrix is large enough for rank 7: all are updated as by AdamW',
    ]);
    expect(lines({project: /kernel/})).to.deep.equal([
      'OwLoreOptimizer: projects 0 of 1 matrices; too small for rank 128: small/kernel [3,3]',
    ]);
  });

  it('has a learning rate that can be read and set during training', async () => {
    const variable = variableOf(tf.ones([2]));
    const optimizer = new OwLoreOptimizer({learningRate: linearDecay(1, 4)});
    descend(optimizer, variable, 2);
    expect(optimizer.learningRate).to.equal(0.5);
    optimizer.learningRate = 0.125;
    expect(optimizer.learningRate).to.equal(0.125);
    optimizer.learningRate = (step) => step / 10;
    expect(optimizer.learningRate).to.equal(0.2);
    expect(() => (optimizer.learningRate = -1)).to.throw(/learningRate must be a number >= 0/);
    for (const rate of [NaN, -0.1]) {
      optimizer.learningRate = () => rate;
      expect(() => descend(optimizer, variable, 1)).to.throw(
        new RegExp(`learningRate of step 2 must be a number >= 0; got ${rate}`),
      );
    }
    await optimizer.settled();
    optimizer.dispose();
    variable.dispose();
  });

  it('gives its options as JSON that survives what tfjs does to a saved config', () => {
    const options: OwLoreOptions = {
      learningRate: warmup(3, cosineDecay(0.1, 10, {end: 0.01})),
      project: /block_(\d)_fc/i,
      decay: ['my_layer', 'other/kernel_1'],
      learningRates: [
        {variables: ['embed_tokens'], factor: 0.1},
        {variables: /_norm_/, factor: 2},
      ],
      rank: 7,
      scale: 'auto',
      clipNorm: 2,
    };
    const config = JSON.parse(JSON.stringify(new OwLoreOptimizer(options).getConfig())) as object;
    expect(JSON.stringify(config)).not.to.match(/_/);
    const loaded = OwLoreOptimizer.fromConfig<OwLoreOptimizer>(OwLoreOptimizer, {
      ...config,
      customObjects: {},
    });
    expect(loaded.getConfig()).to.deep.equal(config);
    expect(loaded.learningRate).to.be.closeTo(0.1 / 3, 1e-12);
  });

  it('has settings to be compared, in which a function is said to be one', () => {
    const {settings} = new OwLoreOptimizer({rank: 7, project: /kernel/, basis: (gradient) => gradient}); // prettier-ignore
    expect(settings).to.include({rank: 7, project: '/kernel/', basis: 'a function', side: 'paper'});
  });

  it('refuses to save options that are functions, naming the way out', () => {
    for (const options of [
      {learningRate: () => 1},
      {basis: (gradient: tf.Tensor2D) => gradient},
      {project: () => true},
      {decay: () => true},
      {learningRates: [{variables: () => true, factor: 1}]},
    ] as OwLoreOptions[]) {
      const [name] = Object.keys(options);
      const ways: Record<string, string> = {
        learningRate: '; use linearDecay, cosineDecay or warmup, or save the model without',
        basis: "; use 'randomized' or 'svd', or save the model without includeOptimizer",
      };
      expect(() => new OwLoreOptimizer(options).getConfig()).to.throw(
        new RegExp(`${name} is a function, which cannot be saved${ways[name!] ?? ''}`),
      );
    }
  });
});

describeBackends('OwLoreOptimizer', (backend) => {
  const optimizers: OwLoreOptimizer[] = [];
  let tensorsBefore: number;
  beforeEach(() => (tensorsBefore = tf.memory().numTensors));
  afterEach(async () => {
    for (const optimizer of optimizers.splice(0)) {
      await optimizer.settled();
      optimizer.dispose();
    }
    expect(tf.memory().numTensors, 'tensors left').to.equal(tensorsBefore);
  });

  /** An optimizer that is disposed after the test. */
  function optimizerOf(options?: OwLoreOptions): OwLoreOptimizer {
    const optimizer = new OwLoreOptimizer(options);
    optimizers.push(optimizer);
    return optimizer;
  }

  it('takes gradients as a map and as an array, some of them missing', async () => {
    const a = variableOf(tf.ones([2]), true, 'map-a');
    const b = variableOf(tf.ones([2]), true, 'map-b');
    const optimizer = optimizerOf({learningRate: 0.1});
    tf.tidy(() => optimizer.applyGradients({'map-a': tf.ones([2])}));
    tf.tidy(() =>
      optimizer.applyGradients([
        {name: 'map-a', tensor: tf.ones([2])},
        {name: 'map-b', tensor: undefined as unknown as tf.Tensor},
      ]),
    );
    // Adam's step is lr in the direction of a constant gradient.
    for (const value of await values(a)) expect(value).to.be.closeTo(0.8, 1e-6);
    expect(await values(b)).to.deep.equal([1, 1]);
    expect(optimizer.iterations).to.equal(2);
    expect(() => tf.tidy(() => optimizer.applyGradients({nowhere: tf.ones([2])}))).to.throw(
      /no variable is called 'nowhere'/,
    );
    tf.dispose([a, b]);
  });

  it('minimizes, and returns the cost if asked', async () => {
    const variable = variableOf(tf.zeros([4, 3]));
    const optimizer = optimizerOf({learningRate: 0.1, rank: 1, side: 'right'});
    const cost = optimizer.minimize(() => tf.mean(tf.square(tf.sub(variable, 1))), true)!;
    expect(await values(cost)).to.deep.equal([1]);
    const first = await values(variable);
    expect(optimizer.minimize(() => tf.mean(tf.square(tf.sub(variable, 1))))).to.equal(null);
    const second = await values(variable);
    // Adam's first step, and its second by a gradient that is 0.9 of the first: 0.18/0.19 over √(1.809/1.999)
    for (const value of first) expect(value).to.be.closeTo(0.1, 1e-5);
    for (const value of second) expect(value).to.be.closeTo(0.1 + 0.1 * 0.99588, 1e-5);
    tf.dispose([cost, variable]);
  });

  it('says clearly that nothing is trainable', () => {
    const variable = variableOf(tf.zeros([2]), false);
    const optimizer = optimizerOf();
    expect(() => descend(optimizer, variable, 1)).to.throw(
      /none of the 1 variables is trainable; leave something on/,
    );
    variable.dispose();
  });

  it('keeps the state that the docs say, and none for what a callback freezes', () => {
    const wide = variableOf(tf.zeros([4, 10]), true, 'bytes/wide');
    const bias = variableOf(tf.zeros([5]), true, 'bytes/bias');
    const optimizer = optimizerOf({rank: 2, side: 'auto'});
    const gradients = {'bytes/wide': tf.ones([4, 10]), 'bytes/bias': tf.ones([5])};
    optimizer.applyGradients(gradients);
    // Right side: 2·(10 + 2·4) numbers, against 2·40 without projection; bias 2·5.
    expect(optimizer.stateBytes).to.equal(4 * (2 * (10 + 2 * 4) + 2 * 5));
    const {stateBytes} = optimizer;
    optimizer.applyGradients({'bytes/bias': gradients['bytes/bias']});
    expect(optimizer.stateBytes, 'without a gradient').to.equal(stateBytes);
    freeze(optimizer, [wide, bias], [wide]);
    optimizer.applyGradients({'bytes/bias': gradients['bytes/bias']});
    expect(optimizer.stateBytes).to.equal(4 * 2 * 5);
    optimizer.dispose();
    expect(optimizer.stateBytes).to.equal(0);
    tf.dispose([wide, bias, gradients]);
  });

  it('keeps the state of a frozen variable that brings a gradient all the same', async () => {
    const variable = variableOf(tf.zeros([2]), true, 'frozen');
    const optimizer = optimizerOf();
    freeze(optimizer, [variable], [variable]);
    for (let step = 0; step < 2; step++)
      tf.tidy(() => optimizer.applyGradients({frozen: tf.ones([2])}));
    const saved = await optimizer.getWeights();
    const clocks = saved.find(({name}) => name === 'frozen/owlore.clocks')!.tensor;
    expect((await values(clocks))[0]).to.equal(2);
    variable.dispose();
  });

  it('tells a plan of each new basis, and of its step', () => {
    const variable = variableOf(tf.ones([4, 5]), true, 'told');
    const optimizer = optimizerOf({rank: 1, refreshInterval: 2});
    const told: unknown[] = [];
    optimizer.setSamplingPlan({
      ...{blockVariables: new Set(['told']), frozenVariables: new Set()},
      onRefresh: (refresh) => told.push(refresh),
    });
    descend(optimizer, variable, 5);
    expect(told).to.deep.equal([1, 3, 5].map((step) => ({variable: 'told', step})));
    variable.dispose();
  });

  for (const side of ['left', 'right', 'paper', 'auto'] as const) {
    for (const shape of [
      [24, 10],
      [10, 24],
      [3, 2, 4, 10],
    ]) {
      it(`moves a matrix as far as Adam does with scale 'auto', side ${side}: ${shape}`, async () => {
        const variable = variableOf(tf.zeros(shape), true, 'scaled/matrix');
        const optimizer = optimizerOf({learningRate: 0.1, rank: 4, side, scale: 'auto'});
        // As strong in all its directions.
        const [rows, columns] = [variable.size / shape.at(-1)!, shape.at(-1)!];
        const gradient = tf.tidy(() => {
          const random = tf.randomNormal<tf.Rank.R2>([24, 10], 0, 1, 'float32', 3);
          const [q] = tf.linalg.qr(random) as [tf.Tensor2D, tf.Tensor2D];
          return tf.reshape(rows > columns ? q : tf.transpose(q), shape);
        });
        optimizer.applyGradients({'scaled/matrix': gradient});
        // The first step of Adam moves each coordinate by the rate, of m·n or, in a basis with orthonormal columns, of r·n.
        const norm = Math.hypot(...(await values(variable)));
        expect(norm / (0.1 * Math.sqrt(variable.size))).to.be.closeTo(1, 1e-5);
        tf.dispose([variable, gradient]);
      });

      it(`moves as far as Adam along the one direction that a gradient has, side ${side}: ${shape}`, async () => {
        // ±1 everywhere, of one direction, and a little of all others.
        const direction = tf.tidy(() => {
          const [rows, columns] = [tf.util.sizeFromShape(shape) / shape.at(-1)!, shape.at(-1)!];
          const signs = (length: number, seed: number): tf.Tensor2D =>
            tf.sign(tf.randomUniform<tf.Rank.R2>([length, 1], -1, 1, 'float32', seed));
          return tf.reshape(tf.matMul(signs(rows, 1), signs(columns, 2), false, true), shape);
        });
        const gradient = tf.tidy(() =>
          tf.add(direction, tf.randomNormal(shape, 0, 1e-4, 'float32', 3)),
        );
        const along = async (optimizer: tf.Optimizer): Promise<number> => {
          const variable = variableOf(tf.zeros(shape), true, 'strong/matrix');
          for (let step = 0; step < 3; step++) {
            optimizer.applyGradients({'strong/matrix': gradient});
          }
          const inner = tf.tidy(() => tf.sum(tf.mul(variable, direction)));
          const [length] = await values(inner);
          tf.dispose([variable, inner]);
          return length!;
        };
        const theirs = tf.train.adam(0.1);
        const ours = optimizerOf({learningRate: 0.1, rank: 4, side});
        // To the noise.
        expect((await along(ours)) / (await along(theirs))).to.be.closeTo(1, 1e-3);
        theirs.dispose();
        tf.dispose([direction, gradient]);
      });
    }
  }

  it("rotates moments between bases whose directions have other scales: 'auto' is Adam's step times the scale", async () => {
    const rate = 0.1;
    const [rows, columns, rank] = [4, 3, 2];
    const previous: tf.Tensor[] = [];
    // The first two rows: R is those of the gradient.
    const basis: BasisFunction = (_, count, before) => {
      if (before) previous.push(tf.keep(tf.clone(before)));
      return tf.slice(tf.eye(rows), [0, 0], [rows, count]);
    };
    const optimizer = optimizerOf({
      ...{learningRate: rate, rank, basis, side: 'left', moments: 'rotate', refreshInterval: 1},
    });
    const variable = variableOf(tf.zeros([rows, columns]), true, 'rotated/matrix');
    const expected = new Float64Array(rows * columns);
    const [first, second] = [new Float64Array(6), new Float64Array(6)];
    for (let step = 1; step <= 4; step++) {
      const gradient = tf.randomNormal([rows, columns], 0, 1, 'float32', step);
      const g = await values(gradient);
      const squares = [0, 1].map((i) => Math.hypot(...g.slice(3 * i, 3 * i + 3)) ** 2);
      const mean = (squares[0]! + squares[1]!) / 2;
      for (let i = 0; i < rank * columns; i++) {
        first[i] = 0.9 * first[i]! + 0.1 * g[i]!;
        second[i] = 0.999 * second[i]! + 0.001 * g[i]! ** 2;
        const scale = Math.max(1, Math.sqrt(squares[Math.floor(i / columns)]! / mean));
        const change = first[i]! / (1 - 0.9 ** step) / Math.sqrt(second[i]! / (1 - 0.999 ** step));
        expected[i]! -= rate * Math.sqrt(rows / rank) * scale * change;
      }
      optimizer.applyGradients({'rotated/matrix': gradient});
      gradient.dispose();
    }
    const actual = await values(variable);
    // Float32 rounding of four steps.
    expected.forEach((x, i) => expect(actual[i]).to.be.closeTo(x, 2e-5));
    // What a function gets is the basis without the scales.
    for (const before of previous) {
      (await values(before)).forEach((x, i) =>
        expect(x).to.be.closeTo(i === 0 || i === 3 ? 1 : 0, 1e-6),
      );
    }
    expect(previous).to.have.length(3);
    tf.dispose([variable, previous]);
  });

  it('says in one line, once, how many matrices are projected if not all are', () => {
    const small = variableOf(tf.zeros([2, 3]), true, 'summary/small');
    const tall = variableOf(tf.zeros([64, 40]), true, 'summary/tall');
    const gradients = {'summary/small': tf.ones([2, 3]), 'summary/tall': tf.ones([64, 40])};
    const said = (options: OwLoreOptions): string[] => {
      const optimizer = optimizerOf(options);
      return infoLines(() => {
        optimizer.applyGradients(gradients);
        optimizer.applyGradients(gradients);
      });
    };
    expect(said({rank: 8})).to.deep.equal([
      'OwLoreOptimizer: projects 1 of 2 matrices; the others are too small for rank 8',
    ]);
    expect(said({rank: 8}), 'equal lines come once').to.deep.equal([]);
    expect(said({}), 'nobody has asked').to.deep.equal([]);
    expect(said({rank: 128})).to.deep.equal([
      'OwLoreOptimizer: no matrix is large enough for rank 128: all are updated as by AdamW',
    ]);
    forgetLines();
    const other = variableOf(tf.zeros([9, 9]), true, 'summary/other');
    const optimizer = optimizerOf({rank: 8});
    const lines = infoLines(() => {
      const loss = (): tf.Scalar => tf.addN([tf.sum(small), tf.sum(tall)]);
      optimizer.minimize(() => tf.tidy(loss));
    });
    other.dispose();
    expect(lines, 'of the variables in the step').to.deep.equal([
      'OwLoreOptimizer: projects 1 of 2 matrices; the others are too small for rank 8',
    ]);
    const loaded = OwLoreOptimizer.fromConfig<OwLoreOptimizer>(
      OwLoreOptimizer,
      new OwLoreOptimizer().getConfig(),
    );
    expect(infoLines(() => loaded.applyGradients(gradients))).to.deep.equal([]);
    loaded.dispose();
    expect(said({rank: 8, project: /./})).to.deep.equal([
      'OwLoreOptimizer: projects 1 of 2 matrices; too small for rank 8: summary/small [2,3]',
    ]);
    expect(said({rank: 1, project: ['summary/tall']})).to.deep.equal([]);
    expect(said({project: false})).to.deep.equal([]);
    tf.dispose([small, tall, gradients]);
  });

  it('says it for what the user left trainable, and not again with the next fit', async () => {
    const model = tfl.sequential({
      layers: [6, 6, 6, 3, 3].map((units, i) =>
        tfl.layers.dense({units, name: `said${i}`, ...(i === 0 && {inputShape: [6]})}),
      ),
    });
    model.layers[0]!.trainable = false;
    const [x, y] = [tf.ones([4, 6]), tf.ones([4, 3])];
    const lines: string[] = [];
    const {info} = console;
    console.info = (line: string) => lines.push(line);
    try {
      for (const isSampled of [true, false]) {
        model.compile({optimizer: optimizerOf({rank: 3}), loss: 'meanSquaredError'});
        for (let i = 0; i < 2; i++) {
          await model.fit(x, y, {verbose: 0, callbacks: isSampled ? samplingOf(model) : []});
        }
      }
    } finally {
      console.info = info;
    }
    // The last kernel is in no block.
    expect(lines).to.deep.equal([
      'OwLoreOptimizer: projects 2 of 3 matrices; the others are too small for rank 3',
      'OwLoreOptimizer: projects 2 of 4 matrices; the others are too small for rank 3',
    ]);
    model.dispose();
    tf.dispose([x, y]);
  });

  it('never projects depthwise kernels, also not if a selector picks them', async () => {
    const {depthwiseConv2d, separableConv2d, flatten, dense} = tfl.layers;
    const sizes = {kernelSize: 2, depthMultiplier: 3} as const;
    const model = tfl.sequential({
      layers: [
        depthwiseConv2d({...sizes, name: 'mine', inputShape: [4, 4, 2]}),
        separableConv2d({...sizes, filters: 5}),
        ...[flatten(), dense({units: 4})],
      ],
    });
    const [x, y] = [tf.ones([2, 4, 4, 2]), tf.ones([2, 4])];
    const projectedBy = async (options: OwLoreOptions): Promise<[string[], string[]]> => {
      const optimizer = optimizerOf({rank: 2, ...options});
      model.compile({optimizer, loss: 'meanSquaredError'});
      const lines: string[] = [];
      const {info} = console;
      console.info = (line: string) => lines.push(line);
      try {
        await model.trainOnBatch(x, y);
      } finally {
        console.info = info;
      }
      const state = await optimizer.getWeights();
      const bases = state.filter(({name}) => name.endsWith('basis')).map(({name}) => name);
      optimizer.dispose();
      return [bases.map((name) => name.split('/')[1]!.replace(/_\d+$/, '')).sort(), lines];
    };
    const [automatic, nothing] = await projectedBy({});
    expect(automatic).to.deep.equal(['kernel', 'pointwise_kernel']);
    expect(nothing).to.deep.equal([]);
    const [chosen, [line]] = await projectedBy({project: () => true});
    expect(chosen).to.deep.equal(automatic);
    expect(line).to.match(
      /^OwLoreOptimizer: projects 2 of 4 matrices; never projected, as depthwise kernels: mine\/depthwise_kernel\S* \[2,2,2,3\], \S+\/depthwise_kernel\S* \[2,2,6,3\]$/,
    );
    model.dispose();
    tf.dispose([x, y]);
  });

  it('leaks nothing where two calls of getWeights overlap', async () => {
    const variable = variableOf(tf.ones([4, 5]), true, 'saved-twice');
    const optimizer = optimizerOf({rank: 2});
    optimizer.minimize(() => tf.tidy(() => tf.sum(tf.square(variable))), false, [variable]);
    const before = tf.memory().numTensors;
    const once = await optimizer.getWeights();
    const made = tf.memory().numTensors - before;
    expect(made).to.be.above(0);
    const [first, second] = await Promise.all([optimizer.getWeights(), optimizer.getWeights()]);
    expect(tf.memory().numTensors).to.equal(before + made);
    for (const weights of [first, second])
      expect(weights.map(({name}) => name)).to.deep.equal(once.map(({name}) => name));
    expect(second.every(({tensor}) => !tensor.isDisposed)).to.equal(true);
    variable.dispose();
  });

  it('decays what has two axes or more, or what decay picks', async () => {
    const shapes: Record<string, number[]> = {scale: [], bias: [3], kernel: [4, 3], filter: [2, 2, 1, 3]}; // prettier-ignore
    for (const [decay, decayed] of [
      ['auto', ['kernel', 'filter']],
      [/bias|kernel/, ['bias', 'kernel']],
    ] as const) {
      const variables = Object.entries(shapes).map(([name, shape]) =>
        variableOf(tf.ones(shape), true, `decayed/${name}`),
      );
      const optimizer = optimizerOf({learningRate: 0.5, weightDecay: 0.25, decay});
      tf.tidy(() =>
        optimizer.applyGradients(
          variables.map(({name, shape}) => ({name, tensor: tf.zeros(shape)})),
        ),
      );
      for (const variable of variables) {
        const isDecayed = decayed.some((name) => variable.name === `decayed/${name}`);
        for (const value of await values(variable)) {
          expect(value, variable.name).to.equal(isDecayed ? 0.875 : 1);
        }
      }
      tf.dispose(variables);
    }
  });

  it('is AdamW where no matrix is worth projecting', async () => {
    const plain = variableOf(tf.ones([4, 5]), true, 'adamw-plain');
    const unworthy = variableOf(tf.ones([4, 5]), true, 'adamw-unworthy');
    const options: OwLoreOptions = {learningRate: 0.1, weightDecay: 0.1, clipNorm: 1};
    const adamw = optimizerOf({...options, project: false});
    const owlore = optimizerOf({...options, rank: 3});
    infoLines(() => {
      descend(adamw, plain, 3);
      descend(owlore, unworthy, 3);
    });
    expect(await values(unworthy)).to.deep.equal(await values(plain));
    tf.dispose([plain, unworthy]);
  });

  it('projects a variable that is made again under its name by the shape that it has now', async () => {
    const optimizer = optimizerOf({rank: 2, project: /again/});
    const numbers: number[] = [];
    for (const size of [8, 6]) {
      const matrix = tf.tidy(() => tf.variable(tf.ones([size, size]), true, 'again'));
      const loss = (): tf.Scalar => tf.tidy(() => tf.sum(tf.square(matrix)));
      for (let i = 0; i < 2; i++) optimizer.minimize(loss, false, [matrix]);
      numbers.push(optimizer.stateBytes / 4);
      await optimizer.settled();
      optimizer.dispose();
      matrix.dispose();
    }
    expect(numbers).to.deep.equal([2 * (8 + 2 * 8), 2 * (6 + 2 * 6)]);
  });

  it('has nothing to save before its first step but that', async () => {
    const saved = await optimizerOf().getWeights();
    const entries = saved.map(async ({name, tensor}) => [name, await values(tensor)] as const);
    expect(await Promise.all(entries)).to.deep.equal([
      ['iter', [0]],
      ['owlore.accumulated', [0]],
      ['owlore.skipped', [0]],
    ]);
  });

  it('saves the state of the call, whatever is done before it resolves', async () => {
    const variable = variableOf(tf.ones([2]), true, 'saved-at-once');
    const optimizer = optimizerOf();
    descend(optimizer, variable, 2);
    await optimizer.settled();
    const saving = optimizer.getWeights();
    descend(optimizer, variable, 1);
    expect(await values((await saving)[0]!.tensor)).to.deep.equal([2]);
    variable.dispose();
  });

  it('ends a step that was left open with its next call, where one call makes a step', async () => {
    const variable = variableOf(tf.zeros([1]), true, 'left-open');
    const call = (optimizer: OwLoreOptimizer, value: number): void =>
      tf.tidy(() => optimizer.applyGradients({'left-open': tf.fill([1], value)}));
    const [first, next] = [optimizerOf({accumulate: 3}), optimizerOf()];
    for (const value of [1, 2]) call(first, value);
    await next.setWeights(await first.getWeights());
    call(next, 6);
    expect([next.iterations, next.accumulated]).to.deep.equal([1, 0]);
    const saved = await next.getWeights();
    // of the mean of all three
    const [moment] = await values(saved.find(({name}) => name.endsWith('moment1'))!.tensor);
    expect(moment).to.be.closeTo(0.3, 1e-6);
    variable.dispose();
  });

  it('makes a step of the calls so far by flush(), and none without any', async () => {
    const other = variableOf(tf.zeros([1]), true, 'not-flushed');
    const variable = variableOf(tf.zeros([2]), true, 'flushed');
    const optimizer = optimizerOf({learningRate: 0.1, accumulate: 3});
    const call = (value: number): void =>
      tf.tidy(() => optimizer.applyGradients({flushed: tf.fill([2], value)}));
    optimizer.flush();
    expect(optimizer.iterations).to.equal(0);
    for (const value of [3, -1]) call(value);
    expect([optimizer.accumulated, ...optimizer.accumulatedVariables]).to.deep.equal([
      2,
      'flushed',
    ]);
    optimizer.flush();
    optimizer.flush();
    expect([optimizer.accumulated, optimizer.iterations]).to.deep.equal([0, 1]);
    expect(optimizer.accumulatedVariables.size).to.equal(0);
    // of a mean of 1
    const saved = await optimizer.getWeights();
    expect(saved.slice(3).every(({name}) => name.startsWith('flushed/'))).to.equal(true);
    const moment = saved.find(({name}) => name.endsWith('moment1'))!;
    for (const value of await values(moment.tensor)) expect(value).to.be.closeTo(0.1, 1e-6);
    for (const value of await values(variable)) expect(value).to.be.closeTo(-0.1, 1e-6);
    tf.dispose([variable, other]);
  });

  it('goes on from saved weights as if it had not stopped', async () => {
    const start = tf.randomNormal([6, 9], 0, 1, 'float32', 5);
    const options: OwLoreOptions = {
      learningRate: linearDecay(0.1, 20),
      rank: 2,
      refreshInterval: 3,
    };
    const whole = variableOf(tf.clone(start), true, 'resume-whole');
    const parts = variableOf(tf.clone(start), true, 'resume-parts');
    const uninterrupted = optimizerOf(options);
    descend(uninterrupted, whole, 8);

    const first = optimizerOf(options);
    descend(first, parts, 4);
    const second = optimizerOf(options);
    await second.setWeights(await first.getWeights());
    expect(second.iterations).to.equal(4);
    first.dispose();
    descend(second, parts, 4);
    expect(await values(parts)).to.deep.equal(await values(whole));
    tf.dispose([start, whole, parts]);
  });

  it('rejects the weights of another optimizer and state of another shape', async () => {
    const variable = variableOf(tf.ones([6, 9]), true, 'other-weights');
    const adam = tf.train.adam(0.1);
    descend(adam, variable, 1);
    const optimizer = optimizerOf({rank: 2});
    const foreign = await adam.getWeights();
    let error: Error | undefined;
    await optimizer.setWeights(foreign).catch((reason: unknown) => (error = reason as Error));
    expect(error?.message).to.match(/these weights were saved by another optimizer/);
    tf.dispose(foreign[0]!.tensor);
    adam.dispose();

    descend(optimizer, variable, 1);
    const other = optimizerOf({rank: 3});
    await other.setWeights(await optimizer.getWeights());
    const before = await values(variable);
    expect(() => descend(other, variable, 1)).to.throw(
      /state of 'other-weights' \(moments \[2,9\], basis \[6,2\]\) does not fit the options, which ask for moments of shape \[3,9\]; use the rank, side, project and blocks/,
    );
    // a step that fails can leave a basis alone
    const failed = optimizerOf({rank: 2});
    failed.setSamplingPlan({
      ...{blockVariables: new Set([variable.name]), frozenVariables: new Set()},
      onRefresh: () => {
        throw new Error('of its own');
      },
    });
    expect(() => descend(failed, variable, 1)).to.throw('of its own');
    await other.setWeights(await failed.getWeights());
    expect(() => descend(other, variable, 1)).to.throw(
      /'other-weights' \(basis \[6,2\]\) does not/,
    );
    expect(await values(variable)).to.deep.equal(before);
    variable.dispose();
  });

  it('averages accumulated gradients into one step', async () => {
    const once = variableOf(tf.zeros([3, 8]), true, 'accumulate-once');
    const twice = variableOf(tf.zeros([3, 8]), true, 'accumulate-twice');
    const a = tf.randomNormal([3, 8], 0, 1, 'float32', 1);
    const b = tf.randomNormal([3, 8], 0, 1, 'float32', 2);
    const one = optimizerOf({rank: 1, clipNorm: 0.5});
    const two = optimizerOf({rank: 1, clipNorm: 0.5, accumulate: 2});
    for (let step = 0; step < 3; step++) {
      tf.tidy(() => one.applyGradients({'accumulate-once': tf.div(tf.add(a, b), 2)}));
      two.applyGradients({'accumulate-twice': a});
      two.applyGradients({'accumulate-twice': b});
    }
    expect(two.iterations).to.equal(3);
    expect(await values(twice)).to.deep.equal(await values(once));
    tf.dispose([once, twice, a, b]);
  });

  for (const value of [NaN, Infinity]) {
    it(`throws for a gradient that is ${value}, with the variable's name and nothing changed`, async () => {
      const good = variableOf(tf.ones([2]), true, 'finite-good');
      const bad = variableOf(tf.ones([3]), true, 'finite-bad');
      const optimizer = optimizerOf({learningRate: 0.1, clipNorm: 1});
      const gradients = {'finite-good': tf.ones([2]), 'finite-bad': tf.tensor1d([1, value, 1])};
      let error: Error | undefined;
      try {
        optimizer.applyGradients(gradients);
        await optimizer.settled();
      } catch (reason) {
        error = reason as Error;
      }
      expect(error?.message).to.match(/the gradient of 'finite-bad' is (NaN|infinite)/);
      expect(await values(good)).to.deep.equal([1, 1]);
      expect(await values(bad)).to.deep.equal([1, 1, 1]);
      optimizer.dispose();
      tf.dispose([good, bad, gradients]);
    });
  }

  it('skips a step whose gradient is not finite and goes on as if it had not been', async () => {
    const variable = variableOf(tf.ones([4, 9]), true, 'skip');
    const reference = variableOf(tf.ones([4, 9]), true, 'skip-reference');
    const options: OwLoreOptions = {
      learningRate: 0.1,
      rank: 1,
      refreshInterval: 2,
      moments: 'reset',
    };
    const optimizer = optimizerOf({...options, nonFinite: 'skip'});
    const plain = optimizerOf(options);
    const gradient = tf.randomNormal([4, 9], 0, 1, 'float32', 3);
    const bad = tf.fill([4, 9], NaN);
    optimizer.applyGradients({skip: bad});
    await optimizer.settled();
    expect(optimizer.skippedSteps).to.equal(1);
    expect(optimizer.iterations).to.equal(1);
    expect(await values(variable)).to.deep.equal(new Array(36).fill(1));
    for (let step = 0; step < 3; step++) {
      optimizer.applyGradients({skip: gradient});
      plain.applyGradients({'skip-reference': gradient});
    }
    expect(await values(variable)).to.deep.equal(await values(reference));
    tf.dispose([variable, reference, gradient, bad]);
  });

  it("asks for another basis where 'svd' cannot read back", () => {
    const variable = variableOf(tf.ones([4, 9]), true, 'svd');
    const optimizer = optimizerOf({basis: 'svd', rank: 1});
    const gradient = tf.ones([4, 9]);
    const step = (): void => optimizer.applyGradients({svd: gradient});
    if (backend === 'webgpu')
      expect(step).to.throw(/basis 'svd' reads tensors back .* use basis: 'randomized'/);
    else expect(step).not.to.throw();
    tf.dispose([variable, gradient]);
  });
});

describeBackends('OwLoreOptimizer in a saved model', () => {
  it('is saved with it, loaded and goes on from where it was, though tfjs renames the variables', async () => {
    const build = (): tfl.LayersModel => {
      const model = tfl.sequential();
      model.add(
        tfl.layers.dense({units: 8, inputShape: [6], activation: 'tanh', name: 'first_layer'}),
      );
      model.add(tfl.layers.dense({units: 3, name: 'second_layer'}));
      return model;
    };
    const model = build();
    const optimizer = new OwLoreOptimizer({
      learningRate: linearDecay(0.05, 20),
      rank: 2,
      project: /first_layer/,
      refreshInterval: 3,
    });
    model.compile({optimizer, loss: 'meanSquaredError'});
    const x = tf.randomNormal([4, 6], 0, 1, 'float32', 1);
    const y = tf.randomNormal([4, 3], 0, 1, 'float32', 2);
    for (let i = 0; i < 4; i++) await model.trainOnBatch(x, y);

    let artifacts: tf.io.ModelArtifacts | undefined;
    const handler = tf.io.withSaveHandler(async (saved) => {
      artifacts = JSON.parse(JSON.stringify(saved)) as tf.io.ModelArtifacts;
      artifacts.weightData = saved.weightData;
      return {modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}};
    });
    await model.save(handler, {includeOptimizer: true});
    const loaded = await tfl.loadLayersModel(tf.io.fromMemory(artifacts!));
    expect(loaded.optimizer).to.be.instanceOf(OwLoreOptimizer);
    expect(loaded.optimizer.getConfig()).to.deep.equal(optimizer.getConfig());
    expect(loaded.optimizer.iterations).to.equal(4);
    for (let i = 0; i < 4; i++) {
      await model.trainOnBatch(x, y);
      await loaded.trainOnBatch(x, y);
    }
    for (const [i, weight] of loaded.getWeights().entries()) {
      expect(await values(weight)).to.deep.equal(await values(model.getWeights()[i]!));
    }
    tf.dispose([x, y]);
    for (const each of [model, loaded]) {
      each.optimizer.dispose();
      each.dispose();
    }
  });

  it('goes on with a loss that is a function only after it is compiled with it again', async () => {
    const loss = (labels: tf.Tensor, outputs: tf.Tensor): tf.Tensor =>
      tf.mean(tf.abs(tf.sub(labels, outputs)));
    const model = tfl.sequential();
    model.add(tfl.layers.dense({units: 4, inputShape: [6], activation: 'tanh'}));
    model.add(tfl.layers.dense({units: 3}));
    const optimizer = new OwLoreOptimizer({learningRate: 0.05, project: false});
    model.compile({optimizer, loss});
    const x = tf.randomNormal([4, 6], 0, 1, 'float32', 1);
    const y = tf.randomNormal([4, 3], 0, 1, 'float32', 2);
    for (let i = 0; i < 3; i++) await model.trainOnBatch(x, y);

    let artifacts: tf.io.ModelArtifacts | undefined;
    const handler = tf.io.withSaveHandler(async (saved) => {
      artifacts = saved;
      return {modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}};
    });
    await model.save(handler, {includeOptimizer: true});
    expectWarning(/Output "[^"]+" is missing from loss dictionary/);
    const loaded = await tfl.loadLayersModel(tf.io.fromMemory(artifacts!));
    const error = await rejection(loaded.trainOnBatch(x, y));
    expect(error.message).to.match(/lossFunction is not a function/);
    loaded.compile({optimizer: loaded.optimizer, loss});
    for (let i = 0; i < 3; i++) {
      await model.trainOnBatch(x, y);
      await loaded.trainOnBatch(x, y);
    }
    for (const [i, weight] of loaded.getWeights().entries()) {
      expect(await values(weight)).to.deep.equal(await values(model.getWeights()[i]!));
    }
    tf.dispose([x, y]);
    for (const each of [model, loaded]) {
      each.optimizer.dispose();
      each.dispose();
    }
  });
});
