import {expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {readsSynchronously} from '../../../src/kernels/capabilities';
import {backends} from '../../support/backends';
import {fuzz} from '../../support/fuzz';
import {held, Sentinels} from '../../support/sentinels';
import {describeAlsoLate} from '../../support/stand_in';

/** Calls that must throw, and leave weights, other tensors and memory as they were. */
async function expectRefused(
  call: (optimizer: OwLoreOptimizer) => void,
  message: RegExp,
  options: OwLoreOptions = {},
): Promise<void> {
  const variables = ['v', 'w'].map((name) =>
    tf.tidy(() => tf.variable(tf.ones([6, 9]), true, name)),
  );
  const optimizer = new OwLoreOptimizer({rank: 2, side: 'left', ...options});
  const sentinels = new Sentinels();
  const before = held();
  expect(() => call(optimizer)).to.throw(message);
  expect(held()).to.deep.equal(before);
  expect([optimizer.iterations, optimizer.stateBytes]).to.deep.equal([0, 0]);
  for (const variable of variables) {
    expect([...(await variable.data())]).to.deep.equal(new Array(54).fill(1));
  }
  await sentinels.expectUntouched(String(message));
  sentinels.dispose();
  optimizer.dispose();
  tf.dispose(variables);
}

describeAlsoLate('wrong gradients', (backend) => {
  const cases: Array<[what: string, make: () => tf.Tensor, message: RegExp]> = [
    [
      'another shape',
      () => tf.ones([9, 6]),
      /gradient of 'w' has the shape \[9,6\]; .* shape \[6,9\]/,
    ],
    ['more numbers', () => tf.ones([60, 9]), /has the shape \[60,9\]/],
    ['none', () => tf.ones([0, 9]), /has the shape \[0,9\]/],
    ['integers', () => tf.ones([6, 9], 'int32'), /gradient of 'w' is int32/],
    ['no tensor', () => [1] as unknown as tf.Tensor, /is no tensor but \[1\]/],
    [
      'a disposed tensor',
      () => {
        const x = tf.ones([6, 9]);
        x.dispose();
        return x;
      },
      /gradient of 'w' is disposed/,
    ],
  ];
  for (const accumulate of [1, 2]) {
    for (const [what, make, message] of cases) {
      it(`refuses ${what}, accumulate ${accumulate}`, () =>
        expectRefused(
          (optimizer) => tf.tidy(() => optimizer.applyGradients({v: tf.ones([6, 9]), w: make()})),
          message,
          {accumulate},
        ));
    }
  }

  it('refuses two gradients of a variable, and what is no map', async () => {
    const both = (optimizer: OwLoreOptimizer): void =>
      tf.tidy(() => {
        const tensor = tf.ones([6, 9]);
        optimizer.applyGradients(['w', 'w'].map((name) => ({name, tensor})));
      });
    await expectRefused(both, /two gradients of 'w'; add them up first/);
    for (const wrong of [null, 5, 'w']) {
      const none = (optimizer: OwLoreOptimizer): void => optimizer.applyGradients(wrong as never);
      await expectRefused(none, /gradients must be a map by name or an array .* got (null|5|'w')/);
    }
  });

  it('refuses the gradient of a variable of integers', async () => {
    const counter = tf.tidy(() => tf.variable(tf.ones([2], 'int32'), true, 'counter'));
    const call = (optimizer: OwLoreOptimizer): void =>
      tf.tidy(() => optimizer.applyGradients({counter: tf.ones([2])}));
    await expectRefused(call, /'counter' has a variable that is int32, which no gradient moves/);
    counter.dispose();
  });

  it('refuses a gradient on another backend', async function () {
    const other = backends.find((each) => each !== backend);
    if (!other) return this.skip();
    await tf.setBackend(other);
    const gradient = tf.ones([6, 9]);
    await tf.setBackend(backend);
    const call = (optimizer: OwLoreOptimizer): void => optimizer.applyGradients({w: gradient});
    await expectRefused(call, /gradient of 'w' is on another backend than '\w+'/);
    gradient.dispose();
  });

  it('refuses variables that are none, or disposed', async () => {
    const gone = tf.tidy(() => tf.variable(tf.ones([2]), true, 'gone'));
    gone.dispose();
    for (const variable of [gone, 3 as unknown as tf.Variable]) {
      const call = (optimizer: OwLoreOptimizer): void =>
        void optimizer.minimize(() => tf.scalar(1), false, [variable]);
      await expectRefused(call, /varList must have tf.Variables that are not disposed; got/);
    }
  });

  const bases: Array<[what: string, basis: (gradient: tf.Tensor2D) => unknown, message: RegExp]> = [
    ['null', () => null, /basis of 'v' is no tensor but null/],
    ['a promise', () => Promise.resolve(), /basis of 'v' is a promise/],
    [
      'another shape',
      (g) => tf.slice(g, [0, 0], [6, 3]),
      /has the shape \[6,3\]; .* shape \[6,2\]/,
    ],
    ['integers', () => tf.ones([6, 2], 'int32'), /basis of 'v' is int32/],
    [
      'a disposed tensor',
      () => {
        const x = tf.ones([6, 2]);
        x.dispose();
        return x;
      },
      /basis of 'v' is disposed/,
    ],
    [
      'an error',
      () => {
        throw new Error('of its own');
      },
      /of its own/,
    ],
  ];
  for (const [what, basis, message] of bases) {
    it(`refuses a basis function that gives ${what}`, () =>
      expectRefused(
        (optimizer) =>
          tf.tidy(() => optimizer.applyGradients({v: tf.ones([6, 9]), w: tf.ones([6, 9])})),
        message,
        {basis: basis as never},
      ));
  }

  for (const nonFinite of ['throw', 'ignore'] as const) {
    it(`refuses a basis that is not finite, nonFinite '${nonFinite}'`, async function () {
      if (!readsSynchronously()) this.skip(); // below
      await expectRefused(
        (optimizer) => tf.tidy(() => optimizer.applyGradients({v: tf.ones([6, 9])})),
        /basis of 'v' has a NaN/,
        {basis: () => tf.fill([6, 2], NaN), nonFinite},
      );
    });
  }

  it('finds a basis that is not finite when it can be read', async function () {
    if (readsSynchronously()) this.skip();
    const variable = tf.tidy(() => tf.variable(tf.ones([6, 9]), true, 'v'));
    const optimizer = new OwLoreOptimizer({
      rank: 2,
      side: 'left',
      basis: () => tf.fill([6, 2], NaN),
    });
    tf.tidy(() => optimizer.applyGradients({v: tf.ones([6, 9])}));
    const error = await optimizer.settled().catch((reason: unknown) => reason as Error);
    expect(error?.message).to.match(/the basis of 'v' is NaN/);
    expect([...(await variable.data())]).to.deep.equal(new Array(54).fill(1));
    optimizer.dispose();
    variable.dispose();
  });

  it('keeps a basis that is the gradient, or the one before', async () => {
    const start = held();
    const variable = tf.tidy(() => tf.variable(tf.ones([6, 9]), true, 'v'));
    const optimizer = new OwLoreOptimizer({
      ...{rank: 2, side: 'left', refreshInterval: 1},
      basis: (gradient, rank, previous) => previous ?? tf.slice(gradient, [0, 0], [6, rank]),
    });
    for (let i = 0; i < 3; i++) tf.tidy(() => optimizer.applyGradients({v: tf.ones([6, 9])}));
    await optimizer.settled();
    expect((await variable.data()).every((x) => Number.isFinite(x) && x < 1)).to.equal(true);
    optimizer.dispose();
    variable.dispose();
    expect(held()).to.deep.equal(start);
  });

  it('writes into no other tensor, whatever the shapes are', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(0, 1, 2, 5, 6, 9, 40), {maxLength: 4}),
        fc.constantFrom<tf.DataType>('float32', 'int32', 'bool'),
        fc.boolean(),
        async (shape, dtype, project) => {
          const isRight = dtype === 'float32' && shape.join() === '6,9';
          const options: OwLoreOptions = project ? {} : {project: false};
          const call = (optimizer: OwLoreOptimizer): void =>
            tf.tidy(() => optimizer.applyGradients({w: tf.ones(shape, dtype as 'float32')}));
          if (!isRight) await expectRefused(call, /gradient of 'w'/, options);
        },
      ),
      fuzz(readsSynchronously() ? 50 : 5),
    ));
});
