import {expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer} from '../../../src/index';
import type {NamedTensor} from '../../../src/owlore/optimizer/state/variables';
import {describeBackends} from '../../support/backends';
import {fuzz} from '../../support/fuzz';
import {rejection} from '../../support/rejection';
import {expectHeld, held} from '../../support/sentinels';
import {captureWarnings, expectWarning} from '../../support/warnings';

/** Names in tfjs's way: what is taken, alive or not, gets the next number. */
class Names {
  private readonly taken = new Map<string, number>();

  next(base: string): string {
    const count = this.taken.get(base) ?? 0;
    this.taken.set(base, count + 1);
    return count === 0 ? base : `${base}_${count}`;
  }
}

/** Variables as a model has them; equal bases are equal names in nested blocks. */
function modelOf(bases: readonly string[], names: Names, prefix: string): tf.Variable[] {
  return bases.map((base) => {
    const name = prefix + names.next(base);
    return tf.tidy(() => tf.variable(tf.zeros([2, 3]), true, name));
  });
}

/** A copy of what is saved, as a file would be, and under the names that a fresh process has. */
async function written(
  optimizer: OwLoreOptimizer,
  from: string,
  to: string,
): Promise<NamedTensor[]> {
  const saved = await optimizer.getWeights();
  return saved.map(({name, tensor}) => ({
    name: name.startsWith(from) ? to + name.slice(from.length) : name,
    tensor: tensor.clone(),
  }));
}

/** A step in which variable `i` has a gradient that no other has; only those in `trained` have one. */
function step(optimizer: OwLoreOptimizer, model: tf.Variable[], trained: readonly boolean[]): void {
  model.forEach((variable, i) => (variable.trainable = trained[i]!));
  optimizer.minimize(
    () => {
      const terms = model.map((variable, i) => tf.sum(tf.mul(variable, tf.scalar(i + 1))));
      return tf.addN(terms) as tf.Scalar;
    },
    false,
    model,
  );
}

/** Which variable each one's state is of, by its gradients; null for none. */
async function owners(
  optimizer: OwLoreOptimizer,
  model: readonly tf.Variable[],
): Promise<Array<number | null>> {
  const saved = await optimizer.getWeights();
  return model.map(({name}) => {
    const entry = saved.find((each) => each.name === `${name}/owlore.moment1`);
    // Two steps of the gradient g: (1 − β₁²)·g.
    return entry ? Math.round(entry.tensor.dataSync()[0]! / 0.19) - 1 : null;
  });
}

const options = {project: false, learningRate: 0.1, state: 'keep'} as const;

describe('restored state', () => {
  let before: ReturnType<typeof held>;
  let runs = 0;
  beforeEach(() => (before = held()));
  afterEach(() => expectHeld(before));

  it('goes to renamed variables when flush() makes the step that was left open', async () => {
    const names = new Names();
    const bases = ['kernel', 'bias'];
    const first = modelOf(bases, names, 'flushed/');
    const left = new OwLoreOptimizer({...options, accumulate: 3});
    step(left, first, [true, true]);
    const saved = await written(left, 'flushed/', 'flushed/');
    left.flush();
    const expected = first.map((variable) => [...variable.dataSync()]);
    tf.dispose(first);
    const second = modelOf(bases, names, 'flushed/');
    expect(second[0]!.name).to.equal('flushed/kernel_1');
    const resumed = new OwLoreOptimizer({...options, accumulate: 3});
    await resumed.setWeights(saved);
    resumed.flush(second);
    expect(second.map((variable) => [...variable.dataSync()])).to.deep.equal(expected);
    expect(expected[0]![0]).to.be.lessThan(0);
    expect(resumed.iterations).to.equal(1);
    left.dispose();
    resumed.dispose();
    tf.dispose([second, saved.map(({tensor}) => tensor)]);
  });

  for (const [what, bases, isFound] of [
    ['goes to renamed variables although the optimizer has another model’s', ['a', 'b'], true],
    ['starts anew where the other model’s variables have the same names', ['k', 'b'], false],
  ] as const) {
    it(what, async () => {
      const names = new Names();
      const other = modelOf(bases, names, 'shared/');
      const first = modelOf(['k', 'v'], names, 'shared/');
      const left = new OwLoreOptimizer({project: false, learningRate: 0.1});
      for (const model of [first, other, first]) step(left, model, [true, true]);
      const saved = await written(left, 'shared/', 'shared/');
      left.dispose();
      tf.dispose(first);
      const second = modelOf(['k', 'v'], names, 'shared/');
      const resumed = new OwLoreOptimizer({project: false, learningRate: 0.1});
      await resumed.setWeights(saved);
      if (!isFound) expectWarning(/not certain to which variables the saved state of 'shared\/k/);
      step(resumed, second, [false, true]);
      const [frozen] = await owners(resumed, second);
      expect(frozen).to.equal(isFound ? 0 : null);
      resumed.dispose();
      tf.dispose([other, second, saved.map(({tensor}) => tensor)]);
    });
  }

  it('goes on to the last bit in the middle of the first step', async () => {
    // States are made in the order in which gradients come; norms are added up in that of the variables, which is another one (cpu
    // adds up in float64, and hardly ever notices).
    const several = {rank: 1, refreshInterval: 5, accumulate: 2, clipNorm: 0.1};
    const train = async (isResumed: boolean): Promise<Float32Array[]> => {
      const matrices = Array.from({length: 8}, (_, i) =>
        tf.tidy(() => tf.variable(tf.ones([5, 4]), true, `spread/${i}`)),
      );
      let optimizer = new OwLoreOptimizer(several);
      for (let call = 0; call < 12; call++) {
        if (isResumed && call === 1) {
          const next = new OwLoreOptimizer(several);
          await next.setWeights(await optimizer.getWeights());
          optimizer.dispose();
          optimizer = next;
        }
        const gradientOf = (i: number): tf.Tensor =>
          tf.randomNormal([5, 4], 0, 1, 'float32', 100 * call + i + 1);
        const loss = (): tf.Scalar =>
          tf.addN(matrices.map((each, i) => tf.sum(tf.mul(each, gradientOf(i)))));
        optimizer.minimize(
          loss,
          false,
          [3, 0, 7, 2, 5, 1, 6, 4].map((i) => matrices[i]!),
        );
      }
      const values = matrices.map((each) => each.dataSync<'float32'>().slice());
      optimizer.dispose();
      tf.dispose(matrices);
      return values;
    };
    expect(await train(true)).to.deep.equal(await train(false));
  });

  it('goes to its own variable or to none, whatever tfjs calls them', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('a', 'a', 'b', 'w_7', 'c/kernel'), {minLength: 1, maxLength: 5}),
        fc.array(fc.boolean(), {minLength: 5, maxLength: 5}),
        fc.constantFrom('same names', 'beside the old one', 'after the old one', 'after another'),
        fc.constantFrom('reset', 'keep'),
        fc.nat(4),
        async (bases, drawn, where, state, first) => {
          const trained = bases.map((_, i) => drawn[i]! || i === first % bases.length);
          const prefix = `p${runs++}/`;
          const names = new Names();
          const saver = new OwLoreOptimizer({...options, state});
          const old = modelOf(bases, names, prefix);
          step(saver, old, trained);
          step(saver, old, trained);
          // Of a fresh process are other names, which are counted anew.
          const isFresh = where === 'same names' || where === 'after another';
          const newPrefix = isFresh ? `p${runs++}/` : prefix;
          const saved = await written(saver, prefix, newPrefix);
          saver.dispose();
          if (where !== 'beside the old one') tf.dispose(old);
          const newNames = isFresh ? new Names() : names;
          const others = where === 'after another' ? modelOf(['a', 'b'], newNames, newPrefix) : [];
          const model = modelOf(bases, newNames, newPrefix);
          const loader = new OwLoreOptimizer({...options, state: 'keep'});
          await loader.setWeights(saved);
          tf.dispose(saved.map(({tensor}) => tensor));
          // Its gradient's place is not to matter, nor that some are frozen.
          const all = bases.map(() => false);
          const firstStep = all.map((_, i) => i === first % all.length);
          const lines = captureWarnings(() => step(loader, model, firstStep));
          const result = await owners(loader, model);
          const right = trained.map((isTrained, i) => (isTrained ? i : null));
          const text = `${where}: ${model.map(({name}) => name).join()} of ${bases.join()}`;
          // What has just been trained has moved on.
          const rest = (list: Array<number | null>): Array<number | null> =>
            list.map((x, i) => (firstStep[i] ? null : x));
          if (lines.length === 0) expect(rest(result), text).to.deep.equal(rest(right));
          else expect(rest(result), text).to.deep.equal(rest(all.map(() => null)));
          // A name of the user's that ends in a number cannot be told from one of tfjs's beside it.
          const isUnclear = where === 'beside the old one' && bases.includes('w_7');
          if (where !== 'after another' && !isUnclear) expect(lines, text).to.deep.equal([]);
          loader.dispose();
          tf.dispose([...model, ...others, ...(where === 'beside the old one' ? old : [])]);
        },
      ),
      fuzz(150),
    ));

  it('is never that of another variable that is there', async () => {
    const [a, b] = modelOf(['a', 'a'], new Names(), 'alive/') as [tf.Variable, tf.Variable];
    const saver = new OwLoreOptimizer(options);
    step(saver, [a], [true]);
    step(saver, [a], [true]);
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights(await saver.getWeights());
    // A loop of one's own that passes only what it trains, then one that passes gradients.
    const lines = captureWarnings(() => step(loader, [b], [true]));
    expect(lines.length).to.equal(1);
    const second = new OwLoreOptimizer(options);
    await second.setWeights(await saver.getWeights());
    tf.tidy(() => second.applyGradients({[b.name]: tf.ones([2, 3]), [a.name]: tf.ones([2, 3])}));
    const entries = await second.getWeights();
    const clocks = [a, b].map(
      ({name}) =>
        entries.find((each) => each.name === `${name}/owlore.clocks`)!.tensor.dataSync()[0],
    );
    expect(clocks).to.deep.equal([3, 1]);
    for (const optimizer of [saver, loader, second]) optimizer.dispose();
    tf.dispose([a, b]);
  });

  it('goes to the right blocks of models with equal inner names', async () => {
    const build = (): tfl.LayersModel => {
      const block = (): tfl.Sequential =>
        tfl.sequential({
          layers: [tfl.layers.dense({units: 4, name: 'inner', inputShape: [4], useBias: false})],
        });
      const input = tfl.input({shape: [4]});
      let output: tfl.SymbolicTensor = input;
      for (let i = 0; i < 4; i++) output = block().apply(output) as tfl.SymbolicTensor;
      return tfl.model({inputs: input, outputs: output});
    };
    const x = tf.randomNormal([5, 4], 0, 1, 'float32', 1);
    const y = tf.randomNormal([5, 4], 0, 1, 'float32', 2);
    const compile = (model: tfl.LayersModel): OwLoreOptimizer => {
      const optimizer = new OwLoreOptimizer({learningRate: 0.01, project: false});
      model.compile({optimizer, loss: 'meanSquaredError'});
      return optimizer;
    };
    const model = build();
    const optimizer = compile(model);
    for (let i = 0; i < 3; i++) await model.trainOnBatch(x, y);
    const saved = (await optimizer.getWeights()).map(({name, tensor}) => ({
      name,
      tensor: tensor.clone(),
    }));
    const weights = model.getWeights().map((weight) => weight.clone());
    const straight = async (): Promise<number[][]> => {
      for (let i = 0; i < 3; i++) await model.trainOnBatch(x, y);
      return model.getWeights().map((weight) => [...weight.dataSync()]);
    };
    const again = build();
    again.setWeights(weights);
    await compile(again).setWeights(saved);
    for (let i = 0; i < 3; i++) await again.trainOnBatch(x, y);
    const result = again.getWeights().map((weight) => [...weight.dataSync()]);
    expect(result).to.deep.equal(await straight());
    for (const each of [model, again]) {
      each.optimizer.dispose();
      each.dispose();
    }
    tf.dispose([x, y, weights, saved.map(({tensor}) => tensor)]);
  });

  it('is gone after dispose(), before a step has found its variables', async () => {
    const [variable] = modelOf(['w'], new Names(), 'disposed/') as [tf.Variable];
    const [saver, loader] = [new OwLoreOptimizer(), new OwLoreOptimizer()];
    step(saver, [variable], [true]);
    await loader.setWeights(await saver.getWeights());
    loader.dispose();
    const left = await loader.getWeights();
    expect(left.filter(({name}) => name.startsWith('disposed/'))).to.deep.equal([]);
    expect(left.every(({tensor}) => !tensor.isDisposed)).to.equal(true);
    saver.dispose();
    loader.dispose();
    variable.dispose();
  });

  it('says in a line if another model is trained, whose state it is not', async () => {
    const saver = new OwLoreOptimizer(options);
    const old = modelOf(['a', 'b'], new Names(), 'kept/');
    step(saver, old, [true, true]);
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights(await saver.getWeights());
    const other = modelOf(['x', 'y'], new Names(), 'others/');
    const lines = captureWarnings(() => step(loader, other, [true, true]));
    expect(lines).to.deep.equal([
      "OwLoreOptimizer: it is not certain to which variables the saved state of 'kept/a' and 1 others belongs, so they start " +
        'anew; load it before another model of the same layer names is made, or dispose of that one first',
    ]);
    // and it stays
    step(loader, old, [true, true]);
    expect(await owners(loader, old)).to.deep.equal([0, 1]);
    saver.dispose();
    loader.dispose();
    tf.dispose([old, other]);
  });

  it('goes to renamed variables in whatever order it is in a file', async () => {
    const names = new Names();
    const saver = new OwLoreOptimizer(options);
    const old = modelOf(['a', 'a', 'b', 'a'], names, 'order/');
    for (let i = 0; i < 2; i++) step(saver, old, [true, true, true, true]);
    const saved = await written(saver, '', '');
    tf.dispose(old);
    const model = modelOf(['a', 'a', 'b', 'a'], names, 'order/');
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights([...saved.slice(0, 3), ...saved.slice(3).reverse()]);
    step(loader, model, [false, false, true, false]);
    const found = await owners(loader, model);
    expect([0, 1, 3].map((i) => found[i])).to.deep.equal([0, 1, 3]);
    saver.dispose();
    loader.dispose();
    tf.dispose([model, saved.map(({tensor}) => tensor)]);
  });

  for (const [what, bases] of [
    ['more', ['a', 'b', 'c']],
    ['fewer', ['a']],
    ['other', ['a', 'c']],
    ['as many, but one is said to be missing,', ['a', 'b']],
  ] as const) {
    it(`starts anew where there are ${what} variables than before`, async () => {
      const names = new Names();
      const saver = new OwLoreOptimizer(options);
      const old = modelOf(['a', 'b'], names, 'number/');
      step(saver, old, [true, true]);
      const saved = await written(saver, '', '');
      tf.dispose(old);
      const model = modelOf(bases, names, 'number/');
      const loader = new OwLoreOptimizer(options);
      const clocks = saved.find(({name}) => name === 'number/b/owlore.clocks')!;
      if (what.startsWith('as many')) {
        const [adamSteps, basisSteps, , newest] = clocks.tensor.dataSync();
        clocks.tensor.dispose();
        clocks.tensor = tf.tensor1d([adamSteps!, basisSteps!, 2, newest!], 'int32');
      }
      await loader.setWeights(saved);
      expectWarning(/not certain to which variables the saved state of 'number\/a'/);
      step(
        loader,
        model,
        bases.map((_, i) => i === bases.length - 1),
      );
      // of the last one alone
      expect(loader.stateBytes).to.equal(4 * 2 * 6);
      saver.dispose();
      loader.dispose();
      tf.dispose([model, saved.map(({tensor}) => tensor)]);
    });
  }

  const named = (name: string): tf.Variable => tf.tidy(() => tf.variable(tf.zeros([2, 3]), true, name)); // prettier-ignore

  it('goes by name where all names are there, in whatever order', async () => {
    const model = ['sort/a', 'sort/a_1', 'sort/a_2'].map(named);
    const saver = new OwLoreOptimizer(options);
    for (let i = 0; i < 2; i++) step(saver, model, [true, true, true]);
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights(await saver.getWeights());
    step(loader, [model[2]!, model[0]!, model[1]!], [true, false, false]);
    expect((await owners(loader, model)).slice(0, 2)).to.deep.equal([0, 1]);
    saver.dispose();
    loader.dispose();
    tf.dispose(model);
  });

  it('goes to a model of which one variable alone was made anew', async () => {
    const model = ['part/a', 'part/b', 'part/c'].map(named);
    const saver = new OwLoreOptimizer(options);
    for (let i = 0; i < 2; i++) step(saver, model, [true, true, true]);
    const saved = await written(saver, '', '');
    model[1]!.dispose();
    model[1] = named('part/b_1');
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights(saved);
    step(loader, model, [false, false, true]);
    expect((await owners(loader, model)).slice(0, 2)).to.deep.equal([0, 1]);
    saver.dispose();
    loader.dispose();
    tf.dispose([model, saved.map(({tensor}) => tensor)]);
  });

  for (const [what, before, others, after] of [
    ['names are those of other places', ['c_1', 'c_2'], [], ['c_2', 'c_3']],
    // c_1 was there when the state of c was saved
    ['one variable was another model’s', ['c', 'd'], ['c_1'], ['c_1', 'd_1']],
  ] as const) {
    it(`starts anew where ${what}`, async () => {
      const prefix = `unsure${before.length + others.length}/`;
      const old = before.map((name) => named(prefix + name));
      const there = others.map((name) => named(prefix + name));
      const saver = new OwLoreOptimizer(options);
      step(saver, old, [true, true]);
      const saved = await written(saver, '', '');
      // where the other model is there, the first variable stays
      tf.dispose(old.slice(others.length));
      const model = after.map(
        (name) => there.find((each) => each.name === prefix + name) ?? named(prefix + name),
      );
      const loader = new OwLoreOptimizer(options);
      await loader.setWeights(saved);
      expectWarning(/not certain to which variables the saved state/);
      step(loader, model, [false, true]);
      expect((await owners(loader, model))[0]).to.equal(null);
      expect(loader.stateBytes).to.equal(4 * 2 * 6);
      saver.dispose();
      loader.dispose();
      tf.dispose([old, model, saved.map(({tensor}) => tensor)]);
    });
  }

  it('says nothing of variables that had none', async () => {
    const saver = new OwLoreOptimizer(options);
    const old = modelOf(['trained', 'frozen'], new Names(), 'gone/');
    step(saver, old, [true, false]);
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights(await saver.getWeights());
    tf.dispose(old);
    const other = modelOf(['x', 'y'], new Names(), 'instead/');
    expectWarning(/saved state of 'gone\/trained' belongs/);
    step(loader, other, [true, true]);
    saver.dispose();
    loader.dispose();
    tf.dispose(other);
  });

  it('says in a line if its variables are gone', async () => {
    const saver = new OwLoreOptimizer(options);
    const old = modelOf(['gone'], new Names(), 'first/');
    step(saver, old, [true]);
    const loader = new OwLoreOptimizer(options);
    await loader.setWeights(await saver.getWeights());
    tf.dispose(old);
    const other = modelOf(['x', 'y'], new Names(), 'second/');
    expectWarning(/saved state of 'first\/gone' belongs, so they start anew/);
    step(loader, other, [true, true]);
    expect(loader.stateBytes, 'of the others alone').to.equal(4 * 2 * 2 * 6);
    saver.dispose();
    loader.dispose();
    tf.dispose(other);
  });
});

describeBackends('saved state that cannot be', () => {
  type Change = (entries: Map<string, tf.Tensor>) => void;
  const set =
    (name: string, make: () => tf.Tensor): Change =>
    (entries) =>
      void entries.set(name, make());
  const all =
    (...changes: Change[]): Change =>
    (entries) =>
      changes.forEach((change) => {
        change(entries);
      });
  const without =
    (...names: string[]): Change =>
    (entries) =>
      names.forEach((name) => entries.delete(name));
  const clocks = (...numbers: number[]): Change =>
    set('w/owlore.clocks', () => tf.tensor1d(numbers, 'int32'));
  /** A call of a step that is not made yet. */
  const oneCall = set('owlore.accumulated', () => tf.scalar(1, 'int32'));
  const cases: Array<[what: string, change: Change, message: RegExp]> = [
    [
      'a moment of another shape',
      set('w/owlore.moment1', () => tf.zeros([4])),
      /must have one shape/,
    ],
    [
      'moments that fit no such variable',
      (entries) => {
        for (const i of [1, 2]) entries.set(`w/owlore.moment${i}`, tf.zeros([7, 7]));
      },
      /'w' \(moments \[7,7\], basis \[6,2\]\) does not fit the variable, whose shape is \[6,9\]/,
    ],
    [
      'a moment that is NaN',
      set('w/owlore.moment1', () => tf.fill([2, 9], NaN)),
      /moment1' must be finite; it has a NaN/,
    ],
    [
      'a negative second moment',
      set('w/owlore.moment2', () => tf.fill([2, 9], -1)),
      /moment2' must be finite and not negative; it has a -1/,
    ],
    [
      'an infinite second moment',
      set('w/owlore.moment2', () => tf.fill([2, 9], Infinity)),
      /it has a Infinity/,
    ],
    [
      'an integer moment',
      set('w/owlore.moment2', () => tf.zeros([2, 9], 'int32')),
      /must be float32; got int32/,
    ],
    [
      'a basis that is not finite',
      set('w/owlore.basis', () => tf.fill([6, 2], Infinity)),
      /basis' must be finite/,
    ],
    [
      'a basis of another shape',
      set('w/owlore.basis', () => tf.zeros([5, 2])),
      /does not fit the variable/,
    ],
    ['a basis that is no matrix', set('w/owlore.basis', () => tf.zeros([6])), /must be a matrix/],
    [
      'negative clocks',
      set('w/owlore.clocks', () => tf.tensor1d([-1, 1], 'int32')),
      /must be the steps of its moments and its basis; got \[-1, 1\]/,
    ],
    ['clocks that are NaN', set('w/owlore.clocks', () => tf.tensor1d([NaN, 1])), /got \[NaN, 1\]/],
    [
      'clocks that are no integers',
      set('w/owlore.clocks', () => tf.tensor1d([1.5, 1])),
      /got \[1.5, 1\]/,
    ],
    ['moments without clocks', without('w/owlore.clocks'), /must be the steps of its moments/],
    ['one moment without the other', without('w/owlore.moment2'), /lacks '\/owlore.moment2'/],
    [
      'a sum of another shape',
      set('w/owlore.gradient', () => tf.zeros([6, 8])),
      /does not fit the variable/,
    ],
    [
      'a negative counter',
      set('owlore.accumulated', () => tf.scalar(-1, 'int32')),
      /'owlore.accumulated' must be an integer from 0 to 1000000000; got -1/,
    ],
    [
      'iterations that are no number',
      set('iter', () => tf.scalar(NaN)),
      /'iter' must be an integer from 0 to 1000000000; got NaN/,
    ],
    [
      'a name without a tensor',
      (entries) => entries.set('w/owlore.moment1', null as unknown as tf.Tensor),
      /'w\/owlore\.moment1' is no tensor, or disposed/,
    ],
    [
      'a text in the place of a number',
      set('iter', () => tf.scalar('a')),
      /'iter' must be numbers; got string/,
    ],
    [
      'steps of which no more fit',
      set('iter', () => tf.scalar(2 ** 31 - 1, 'int32')),
      /'iter' must be an integer from 0 to 1000000000; got 2147483647/,
    ],
    [
      'a second moment without the first',
      all(without('w/owlore.moment1'), clocks(0, 1, 0, 0)),
      /moment2' lacks '\/owlore.moment1'; nothing was loaded/,
    ],
    [
      'a basis that is NaN in its last number alone',
      set('w/owlore.basis', () => tf.tensor2d([...new Array<number>(11).fill(0), NaN], [6, 2])),
      /basis' must be finite; it has a NaN/,
    ],
    ...[-1, NaN, Infinity].flatMap((value): Array<[string, Change, RegExp]> => [
      [
        `a limit of ${value}`,
        set('w/owlore.limit', () => tf.scalar(value)),
        new RegExp(`limit' must be finite and not negative; it has a ${value}`),
      ],
    ]),
    ['limits', set('w/owlore.limit', () => tf.tensor1d([1])), /limit' must be a number/],
    ['a clock too many', clocks(1, 1, 0, 0, 1), /got \[1, 1, 0, 0, 1\]/],
    ['a place that is none', clocks(1, 1, -2, 0), /got \[1, 1, -2, 0\]/],
    ['a negative number of a name', clocks(1, 1, 0, -1), /got \[1, 1, 0, -1\]/],
    ['steps of a basis that are negative', clocks(1, -1, 0, 0), /got \[1, -1, 0, 0\]/],
    ['steps of no moments', all(without('w/owlore.moment1', 'w/owlore.moment2'), clocks(1, 0, 0, 0)), /got \[1, 0, 0, 0\]/], // prettier-ignore
    ['moments of no step', clocks(0, 1, 0, 0), /got \[0, 1, 0, 0\]/],
    ['steps of no basis', without('w/owlore.basis'), /got \[1, 1, 0, 0\]/],
    [
      'a projected sum without a basis',
      all(
        without('w/owlore.basis'),
        clocks(1, 0, 0, 0),
        oneCall,
        set('w/owlore.projectedGradient', () => tf.zeros([2, 9])),
      ),
      /projectedGradient' lacks '\/owlore.basis'/,
    ],
    [
      'a projected sum beside a whole one',
      all(
        oneCall,
        set('w/owlore.gradient', () => tf.zeros([6, 9])),
        set('w/owlore.projectedGradient', () => tf.zeros([2, 9])),
      ),
      /projectedGradient' is there beside the sum of whole gradients/,
    ],
    [
      'a projected sum of another shape',
      all(
        oneCall,
        set('w/owlore.projectedGradient', () => tf.zeros([2, 8])),
      ),
      /moment1' and what belongs to it must have one shape; got \[2,9\], \[2,9\], \[2,8\]/,
    ],
    [
      'a sum that fits no such variable',
      all(
        oneCall,
        set('w/owlore.gradient', () => tf.zeros([9, 6])),
      ),
      /'w' \(moments \[2,9\], basis \[6,2\], gradientSum \[9,6\]\) does not fit the variable, whose shape is \[6,9\]/,
    ],
    [
      'a projected sum that nothing was added to',
      set('w/owlore.projectedGradient', () => tf.zeros([2, 9])),
      /'w' has a sum of gradients of no call: 'owlore.accumulated' is 0/,
    ],
    [
      'moments of another variable without a basis',
      all(without('w/owlore.basis'), clocks(1, 0, 0, 0)),
      /'w' \(moments \[2,9\]\) does not fit the variable/,
    ],
    [
      'a sum of losses of no call',
      set('owlore.loss', () => tf.scalar(1)),
      /'owlore.loss' must be a number, of calls > 0; nothing was loaded/,
    ],
    [
      'several sums of losses',
      all(
        oneCall,
        set('owlore.loss', () => tf.tensor1d([1, 2])),
      ),
      /'owlore.loss' must be a number, of calls > 0/,
    ],
    [
      'a part of a halving',
      set('owlore.halvings', () => tf.scalar(0.5)),
      /'owlore.halvings' must be an integer from 0 to 1000000000; got 0.5/,
    ],
    [
      'two numbers of steps',
      set('iter', () => tf.tensor1d([1, 2], 'int32')),
      /'iter' must be an integer from 0 to 1000000000; got 1, 2/,
    ],
    [
      'no number of skipped steps',
      without('owlore.skipped'),
      /saved by another optimizer: 'w\/owlore.moment1' stands where 'owlore.skipped' must be/,
    ],
    [
      'nothing but steps',
      (entries) => {
        for (const name of [...entries.keys()].slice(1)) entries.delete(name);
      },
      /saved by another optimizer: 'undefined' stands where 'owlore.accumulated' must be/,
    ],
    [
      'what is no state',
      set('w/kernel', () => tf.zeros([1])),
      /'w\/kernel' is not a state of this optimizer; these weights were saved by another one/,
    ],
    [
      'sums that nothing was added to',
      set('w/owlore.gradient', () => tf.zeros([6, 9])),
      /'w' has a sum of gradients of no call/,
    ],
  ];
  for (const [what, change, message] of cases) {
    it(`refuses ${what}, and changes nothing`, async () => {
      const start = held();
      const variable = tf.tidy(() => tf.variable(tf.ones([6, 9]), true, 'w'));
      const gradient = tf.randomNormal([6, 9], 0, 1, 'float32', 1);
      const saver = new OwLoreOptimizer({rank: 2, side: 'left'});
      saver.applyGradients({w: gradient});
      await saver.settled();
      const saved = (await saver.getWeights()).map(
        ({name, tensor}) => [name, tensor.clone()] as const,
      );
      const entries = new Map<string, tf.Tensor>(saved);
      change(entries);
      const optimizer = new OwLoreOptimizer({rank: 2, side: 'left'});
      optimizer.applyGradients({w: gradient});
      await optimizer.settled();
      const before = {...held(), iterations: optimizer.iterations, bytes: optimizer.stateBytes};
      const weights = [...entries].map(([name, tensor]) => ({name, tensor}));
      const error = await rejection(optimizer.setWeights(weights));
      expect(error.message).to.match(message);
      expect(error.message, 'names what is wrong').to.match(/'(w|iter|owlore\.\w+)\b/);
      const after = {...held(), iterations: optimizer.iterations, bytes: optimizer.stateBytes};
      expect(after).to.deep.equal(before);
      saver.dispose();
      optimizer.dispose();
      tf.dispose([variable, gradient, ...saved.map(([, tensor]) => tensor), ...entries.values()]);
      expect(held()).to.deep.equal(start);
    });
  }

  it('has the number of skipped steps', async () => {
    const variable = tf.tidy(() => tf.variable(tf.ones([2]), true, 'skipping'));
    const gradient = tf.tensor1d([NaN, 1]);
    const saver = new OwLoreOptimizer({nonFinite: 'skip'});
    saver.applyGradients({skipping: gradient});
    await saver.settled();
    const loader = new OwLoreOptimizer({nonFinite: 'skip'});
    await loader.setWeights(await saver.getWeights());
    expect(loader.skippedSteps).to.equal(1);
    loader.applyGradients({skipping: gradient});
    await loader.settled();
    expect(loader.skippedSteps).to.equal(2);
    saver.dispose();
    loader.dispose();
    tf.dispose([variable, gradient]);
  });

  it('is given back as it was given, with all that can be in it', async () => {
    const start = held();
    const floats = (shape: number[], seed: number): tf.Tensor =>
      tf.randomUniform(shape, 0, 1, 'float32', seed);
    const integers = (...numbers: number[]): tf.Tensor => tf.tensor1d(numbers, 'int32');
    const entries: Record<string, tf.Tensor> = {
      iter: tf.scalar(1e9, 'int32'),
      'owlore.accumulated': tf.scalar(2, 'int32'),
      'owlore.skipped': tf.scalar(1, 'int32'),
      'owlore.halvings': tf.scalar(3, 'int32'),
      'owlore.loss': tf.scalar(1.5),
      'w/owlore.moment1': floats([2, 9], 1),
      'w/owlore.moment2': tf.zeros([2, 9]),
      'w/owlore.basis': floats([6, 2], 2),
      'w/owlore.limit': tf.scalar(0),
      'w/owlore.projectedGradient': floats([2, 9], 3),
      'w/owlore.clocks': integers(5, 3, 0, 0),
      // one that was in no step, of a variable that does not exist, and one that has only a place
      'b/owlore.gradient': floats([4], 4),
      'b/owlore.clocks': integers(0, 0, -1, 7),
      'c/owlore.clocks': integers(0, 0, 1, 0),
    };
    const weights = Object.entries(entries).map(([name, tensor]) => ({name, tensor}));
    const read = async (list: NamedTensor[]): Promise<Array<[string, number[]]>> =>
      Promise.all(
        list.map(async ({name, tensor}): Promise<[string, number[]]> => [
          `${name}: ${tensor.dtype} [${tensor.shape}]`,
          [...(await tensor.data())],
        ]),
      );
    const expected = await read(weights);
    const optimizer = new OwLoreOptimizer({nonFinite: 'halve', learningRate: 8});
    await optimizer.setWeights(weights);
    tf.dispose(entries);
    expect(await read(await optimizer.getWeights())).to.deep.equal(expected);
    const {iterations, accumulated, skippedSteps, learningRate} = optimizer;
    expect([iterations, accumulated, skippedSteps, learningRate]).to.deep.equal([1e9, 2, 1, 1]);
    // moments, basis, limit and sum of w, sum of b, and the losses
    expect(optimizer.stateBytes).to.equal(4 * (2 * 18 + 12 + 1 + 18 + 4 + 1));
    optimizer.dispose();
    expect(held()).to.deep.equal(start);
  });

  it('refuses what is no list of tensors with names', async () => {
    const optimizer = new OwLoreOptimizer();
    const gone = tf.scalar(1);
    gone.dispose();
    for (const [weights, message] of [
      [
        null,
        /^OwLoreOptimizer: weights must be a list of {name, tensor}, as getWeights gives it; got null/,
      ],
      [{}, /weights must be a list of/],
      [[null], /weights\[0\].name must be a text; got undefined/],
      [[{name: 3}], /weights\[0\].name must be a text; got 3/],
      [[{name: 'iter'}], /'iter' is no tensor, or disposed/],
      [[{name: 'iter', tensor: [1]}], /'iter' is no tensor, or disposed/],
      [[{name: 'iter', tensor: gone}], /'iter' is no tensor, or disposed/],
      [[], /saved by another optimizer: 'undefined' stands/],
    ] as Array<[NamedTensor[], RegExp]>) {
      expect((await rejection(optimizer.setWeights(weights))).message).to.match(message);
    }
    optimizer.dispose();
  });

  it('may belong to another variable of the name, apart from its number', async () => {
    const shapes = {'kind/w': [3], 'kind/w_1': [6, 9], 'kind/v': [6, 9]};
    const variables = Object.entries(shapes).map(([name, shape]) =>
      tf.tidy(() => tf.variable(tf.ones(shape), true, name)),
    );
    const saver = new OwLoreOptimizer({rank: 2, side: 'left'});
    tf.tidy(() => saver.applyGradients({'kind/w_1': tf.ones([6, 9])}));
    await saver.settled();
    const saved = await saver.getWeights();
    const optimizer = new OwLoreOptimizer({rank: 2, side: 'left'});
    const named = (to: string): NamedTensor[] =>
      saved.map(({name, tensor}) => ({name: name.replace('kind/w_1', to), tensor}));
    await optimizer.setWeights(named('kind/w'));
    await optimizer.setWeights(named('kind/v'));
    variables.pop()!.dispose();
    variables.push(tf.tidy(() => tf.variable(tf.ones([6, 8]), true, 'kind/v')));
    const error = await rejection(optimizer.setWeights(named('kind/v')));
    expect(error.message).to.match(/saved state of 'kind\/v' .* whose shape is \[6,8\]/);
    saver.dispose();
    optimizer.dispose();
    tf.dispose(variables);
  });

  it('may be a sum without clocks, of a variable that was in no step', async () => {
    const optimizer = new OwLoreOptimizer({accumulate: 2});
    const entries: Record<string, tf.Tensor> = {
      iter: tf.scalar(0),
      'owlore.accumulated': tf.scalar(1),
      'owlore.skipped': tf.scalar(0),
      'w/owlore.gradient': tf.ones([2]),
    };
    await optimizer.setWeights(Object.entries(entries).map(([name, tensor]) => ({name, tensor})));
    const saved = await optimizer.getWeights();
    const clocks = saved.find(({name}) => name === 'w/owlore.clocks')!.tensor;
    expect([...(await clocks.data())]).to.deep.equal([0, 0, -1, 0]);
    optimizer.dispose();
    tf.dispose(entries);
  });

  it('refuses a basis of a vector', async () => {
    const vector = tf.tidy(() => tf.variable(tf.ones([5]), true, 'vector'));
    const optimizer = new OwLoreOptimizer();
    const entries: Record<string, tf.Tensor> = {
      ...Object.fromEntries(
        ['iter', 'owlore.accumulated', 'owlore.skipped'].map((name) => [name, tf.scalar(0)]),
      ),
      'vector/owlore.moment1': tf.zeros([1, 2]),
      'vector/owlore.moment2': tf.zeros([1, 2]),
      'vector/owlore.basis': tf.zeros([5, 2]),
      'vector/owlore.clocks': tf.tensor1d([1, 1, 0, 0], 'int32'),
    };
    const weights = Object.entries(entries).map(([name, tensor]) => ({name, tensor}));
    const error = await rejection(optimizer.setWeights(weights));
    expect(error.message).to.match(
      /basis \[5,2\]\) does not fit the variable, whose shape is \[5\]/,
    );
    tf.dispose([vector, entries]);
  });

  it('refuses an entry that is there twice', async () => {
    const optimizer = new OwLoreOptimizer();
    const clocks = tf.tensor1d([0, 0], 'int32');
    const names = ['iter', 'owlore.accumulated', 'owlore.skipped'];
    const weights = [...names, 'v/owlore.clocks', 'v/owlore.clocks'].map((name, i) => ({
      name,
      tensor: i < 3 ? tf.scalar(0, 'int32') : clocks,
    }));
    const error = await rejection(optimizer.setWeights(weights));
    expect(error.message).to.match(/'v\/owlore.clocks' is there twice; nothing was loaded/);
    tf.dispose(weights.map(({tensor}) => tensor));
  });
});
