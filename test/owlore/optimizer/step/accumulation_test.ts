import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../../../src/memory/meter';
import {OwLoreOptimizer} from '../../../../src/index';
import type {OwLoreOptions} from '../../../../src/index';
import {describeAlsoLate} from '../../../support/stand_in';

const accumulate = 3;
const learningRate = 0.01;

/** Of every kind: projected on either side, of more than two axes, and not projected. */
const shapes: Record<string, number[]> = {
  tall: [12, 4],
  wide: [4, 12],
  kernel: [2, 2, 3, 8],
  bias: [5],
};

/** A copy of each variable, called after it, and the gradients of any call for them. */
class Copy {
  readonly variables: Map<string, tf.Variable>;

  constructor(readonly owner: string) {
    this.variables = new Map(
      Object.entries(shapes).map(([name, shape], seed) => [
        name,
        tf.tidy(() =>
          tf.variable(tf.randomNormal(shape, 0, 1, 'float32', seed + 1), true, `${owner}/${name}`),
        ),
      ]),
    );
  }

  /** One call of `minimize` by a loss with the gradients of call number `call`; `names` are trained. */
  minimize(optimizer: OwLoreOptimizer, call: number, names = Object.keys(shapes)): void {
    const trained = names.map((name) => this.variables.get(name)!);
    optimizer.minimize(
      () =>
        tf.tidy(() =>
          tf.addN(names.map((name, i) => tf.sum(tf.mul(trained[i]!, gradientOf(name, call))))),
        ),
      false,
      trained,
    );
  }

  /** The obvious way: one step by the means of the gradients of some calls, zero where a call has none. */
  applyMean(optimizer: OwLoreOptimizer, calls: ReadonlyArray<[number, string[]]>): void {
    tf.tidy(() => {
      const names = Object.keys(shapes).filter((name) =>
        calls.some(([, trained]) => trained.includes(name)),
      );
      const means = names.map((name) => {
        const gradients = calls.map(([call, trained]) =>
          trained.includes(name) ? gradientOf(name, call) : tf.zeros(shapes[name]!),
        );
        const sum = gradients.reduce((a, b) => tf.add(a, b));
        return {name: `${this.owner}/${name}`, tensor: tf.div(sum, calls.length)};
      });
      optimizer.applyGradients(means);
    });
  }

  async values(): Promise<Record<string, number[]>> {
    const entries = [...this.variables].map(async ([name, variable]) => [
      name,
      [...(await variable.data())],
    ]);
    return Object.fromEntries(await Promise.all(entries)) as Record<string, number[]>;
  }

  dispose(): void {
    tf.dispose([...this.variables.values()]);
  }
}

function gradientOf(name: string, call: number): tf.Tensor {
  const seed = 1 + 100 * call + Object.keys(shapes).indexOf(name);
  return tf.randomNormal(shapes[name]!, 0, 1, 'float32', seed);
}

async function savedNames(optimizer: OwLoreOptimizer): Promise<string[]> {
  return (await optimizer.getWeights()).map(({name}) => name);
}

async function errorOf(optimizer: OwLoreOptimizer, body: () => void): Promise<string> {
  try {
    body();
    await optimizer.settled();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

/** Sums of projections differ from projections of sums by rounding, which is then divided by √v. */
async function expectClose(copy: Copy, reference: Copy): Promise<void> {
  const [actual, expected] = [await copy.values(), await reference.values()];
  for (const [name, values] of Object.entries(expected)) {
    for (const [i, value] of values.entries()) {
      expect(actual[name]![i], `${name}, element ${i}`).to.be.closeTo(value, 1e-3 * learningRate);
    }
  }
}

describeAlsoLate('accumulation', () => {
  const disposables: Array<{dispose(): void}> = [];
  let tensorsBefore: number;
  beforeEach(() => (tensorsBefore = tf.memory().numTensors));
  afterEach(() => {
    for (const each of disposables.splice(0)) each.dispose();
    expect(tf.memory().numTensors, 'tensors left').to.equal(tensorsBefore);
  });

  function copyOf(owner: string): Copy {
    const copy = new Copy(owner);
    disposables.push(copy);
    return copy;
  }

  function optimizerOf(options: OwLoreOptions): OwLoreOptimizer {
    const optimizer = new OwLoreOptimizer({
      learningRate,
      rank: 2,
      refreshInterval: 3,
      project: /tall|wide|kernel/,
      ...options,
    });
    disposables.push(optimizer);
    return optimizer;
  }

  const everything = Object.keys(shapes);
  const variants: Record<string, OwLoreOptions> = {
    'of projections': {},
    'of projections, moments rotated, decayed': {moments: 'rotate', weightDecay: 0.1},
    'of projections, updated at once': {nonFinite: 'ignore'},
    'of gradients, as clipping asks': {clipNorm: 0.5},
    'nothing projected': {project: false},
  };
  for (const [title, options] of Object.entries(variants)) {
    it(`equals one step by the mean: ${title}`, async () => {
      const [one, parts] = [copyOf('mean-one'), copyOf('mean-parts')];
      const byMean = optimizerOf(options);
      const optimizer = optimizerOf({...options, accumulate});
      const isExact = options.clipNorm !== undefined || options.project === false;
      for (let step = 0; step < 5; step++) {
        const calls = Array.from({length: accumulate}, (_, i) => step * accumulate + i);
        for (const call of calls) parts.minimize(optimizer, call);
        one.applyMean(
          byMean,
          calls.map((call) => [call, everything]),
        );
        await optimizer.settled();
        await byMean.settled();
        const [expected, actual] = [await one.values(), await parts.values()];
        if (isExact) expect(actual, `step ${step}`).to.deep.equal(expected);
        // The bias is never projected, and in the first step nothing is yet.
        expect(actual.bias).to.deep.equal(expected.bias);
        if (step === 0) expect(actual).to.deep.equal(expected);
        await expectClose(parts, one);
      }
      expect(optimizer.iterations).to.equal(5);
    });
  }

  it('takes a variable that is frozen or unfrozen in the middle of a step by what it has brought', async () => {
    const [one, parts] = [copyOf('frozen-one'), copyOf('frozen-parts')];
    const byMean = optimizerOf({});
    const optimizer = optimizerOf({accumulate});
    const steps = [
      [everything, everything, everything],
      [everything, ['wide', 'bias'], ['wide', 'kernel', 'bias']],
      [['bias'], ['bias', 'tall'], everything],
    ];
    for (const [step, trained] of steps.entries()) {
      const calls = trained.map((names, i) => [step * accumulate + i, names] as [number, string[]]);
      for (const [call, names] of calls) parts.minimize(optimizer, call, names);
      one.applyMean(byMean, calls);
      await expectClose(parts, one);
    }
    const {stateBytes} = optimizer;
    parts.minimize(optimizer, 20, ['bias']);
    parts.minimize(optimizer, 21, ['bias']);
    parts.minimize(optimizer, 22, ['bias']);
    expect(optimizer.stateBytes, 'the others keep theirs').to.equal(stateBytes);
    await optimizer.settled();
    await byMean.settled();
  });

  it('keeps full sums for a step that refreshes the basis, and projected ones for the next', async () => {
    const copy = copyOf('forms');
    const optimizer = optimizerOf({accumulate, refreshInterval: 2});
    // Bases and moments at rank 2: tall 2·(4 + 2·12), wide the same, kernel [12, 8] 2·(8 + 2·12); bias 2·5. To the
    // sums of gradients comes that of the losses, one number.
    const state = 4 * (56 + 56 + 64 + 10);
    const full = 4 * (48 + 48 + 96 + 5 + 1);
    const projected = 4 * (2 * 12 + 2 * 12 + 2 * 12 + 5 + 1);
    for (let step = 0, call = 0; step < 5; step++) {
      const [first, sums] = [step === 0 ? 0 : state, step % 2 === 0 ? full : projected];
      for (let i = 1; i < accumulate; i++) {
        copy.minimize(optimizer, call++);
        expect(optimizer.stateBytes, `step ${step}`).to.equal(first + sums);
      }
      copy.minimize(optimizer, call++);
      await optimizer.settled();
      expect(optimizer.stateBytes, `after step ${step}`).to.equal(state);
    }
  });

  for (const start of [1, 4]) {
    it(`goes on in the middle of a step, after ${start} calls, as if it had not stopped`, async () => {
      const [whole, parts] = [copyOf('resume-whole'), copyOf('resume-parts')];
      const uninterrupted = optimizerOf({accumulate});
      let optimizer = optimizerOf({accumulate});
      for (let call = 0; call < 3 * accumulate; call++) {
        whole.minimize(uninterrupted, call);
        if (call >= start) {
          const next = optimizerOf({accumulate});
          await next.setWeights(await optimizer.getWeights());
          expect(next.stateBytes).to.equal(optimizer.stateBytes);
          optimizer.dispose();
          optimizer = next;
        }
        parts.minimize(optimizer, call);
        await optimizer.settled();
        await uninterrupted.settled();
        const names = await savedNames(optimizer);
        const isMiddle = (call + 1) % accumulate !== 0;
        const isProjected = call >= accumulate;
        const sums = {
          gradient: isMiddle ? (isProjected ? 1 : 4) : 0,
          projectedGradient: isMiddle && isProjected ? 3 : 0,
        };
        for (const [suffix, count] of Object.entries(sums)) {
          expect(names.filter((name) => name.endsWith(`/owlore.${suffix}`))).to.have.length(count);
        }
      }
      expect(await parts.values()).to.deep.equal(await whole.values());
    });
  }

  it('is of the variables that are still there', async () => {
    const [copy, gone] = [copyOf('there'), copyOf('gone')];
    const optimizer = optimizerOf({accumulate});
    for (const each of [copy, gone]) each.minimize(optimizer, 0);
    gone.dispose();
    optimizer.flush();
    await optimizer.settled();
    expect([optimizer.iterations, optimizer.accumulated]).to.deep.equal([1, 0]);
    const names = await savedNames(optimizer);
    expect(names.filter((name) => /gradient/i.test(name))).to.deep.equal([]);
    // half of what one call brought
    const saved = await optimizer.getWeights();
    const moment = saved.find(({name}) => name === 'there/bias/owlore.moment1')!.tensor;
    const [actual, gradient] = [await moment.data(), gradientOf('bias', 0)];
    (await gradient.data()).forEach((x, i) => expect(actual[i]).to.be.closeTo(0.05 * x, 1e-6));
    gradient.dispose();
  });

  it('keeps no losses where nobody asks whether they are finite', () => {
    const copy = copyOf('losses');
    for (const [nonFinite, number] of [
      ['ignore', 0],
      ['skip', 1],
    ] as const) {
      // prettier-ignore
      const optimizer = optimizerOf({accumulate, nonFinite});
      copy.minimize(optimizer, 0, ['bias']);
      expect(optimizer.stateBytes).to.equal(4 * (5 + number));
    }
  });

  it('finishes a sum in the form in which it was begun, under other options too', async () => {
    const [one, parts] = [copyOf('options-one'), copyOf('options-parts')];
    const [byMean, first] = [optimizerOf({}), optimizerOf({accumulate})];
    for (let call = 0; call < 4; call++) parts.minimize(first, call);
    await first.settled();
    // A refresh would be due now, there is a norm to clip by, and two calls are enough.
    const second = optimizerOf({accumulate: 2, refreshInterval: 1, clipNorm: 1e6});
    await second.setWeights(await first.getWeights());
    parts.minimize(second, 4);
    await second.settled();
    expect(second.iterations).to.equal(2);
    const names = await savedNames(second);
    expect(names.filter((name) => /gradient/i.test(name))).to.deep.equal([]);
    for (const calls of [
      [0, 1, 2],
      [3, 4],
    ]) {
      one.applyMean(
        byMean,
        calls.map((call) => [call, everything]),
      );
    }
    await byMean.settled();
    await expectClose(parts, one);
  });

  it('moves a matrix in its subspace alone by a projected sum, under an update that needs gradients too', async () => {
    const copy = copyOf('other-update');
    const first = optimizerOf({accumulate});
    for (let call = 0; call < 2 * accumulate - 1; call++) copy.minimize(first, call);
    await first.settled();
    const start = [...copy.variables.values()].map((variable) => tf.clone(variable));
    const ends: unknown[] = [];
    for (const update of ['galore', 'fira'] as const) {
      [...copy.variables.values()].forEach((variable, i) => {
        variable.assign(start[i]!);
      });
      const next = optimizerOf({accumulate, update});
      await next.setWeights(await first.getWeights());
      copy.minimize(next, 2 * accumulate - 1);
      await next.settled();
      ends.push(await copy.values());
    }
    expect(ends[1]).to.deep.equal(ends[0]);
    tf.dispose(start);
  });

  for (const nonFinite of ['throw', 'skip'] as const) {
    it(`finds a gradient that is not finite in a projected sum: '${nonFinite}'`, async () => {
      const copy = copyOf('finite');
      const optimizer = optimizerOf({accumulate, nonFinite});
      let call = 0;
      for (; call < accumulate; call++) copy.minimize(optimizer, call);
      await optimizer.settled();
      const before = await copy.values();
      const state = optimizer.stateBytes;
      copy.minimize(optimizer, call++);
      const wide = copy.variables.get('wide')!;
      const bad = tf.tidy(() => tf.variable(tf.fill([12], Infinity)));
      optimizer.minimize(() => tf.tidy(() => tf.sum(tf.mul(wide, bad))), false, [wide]);
      const message = await errorOf(optimizer, () => copy.minimize(optimizer, call++));
      expect(message).to.match(
        nonFinite === 'throw' ? /the gradient of 'finite\/wide' is (NaN|infinite)/ : /no error/,
      );
      expect(await copy.values()).to.deep.equal(before);
      expect(optimizer.skippedSteps).to.equal(nonFinite === 'skip' ? 1 : 0);
      expect(optimizer.stateBytes, 'no sums are left').to.equal(state);
      for (let i = 0; i < accumulate; i++) copy.minimize(optimizer, call++);
      await optimizer.settled();
      expect(await copy.values()).not.to.deep.equal(before);
      bad.dispose();
    });
  }

  it('names the first variable whose mean is not finite, in the order of the caller', async () => {
    const variables = [0, 1, 2, 3].map((i) =>
      tf.tidy(() => tf.variable(tf.ones([2]), true, `first-bad/${i}`)),
    );
    disposables.push(...variables);
    const optimizer = optimizerOf({accumulate: 2, project: false});
    const factors = [NaN, NaN, 1, NaN];
    const loss = (): tf.Scalar =>
      tf.tidy(() => tf.addN(variables.map((each, i) => tf.sum(tf.mul(each, factors[i]!)))));
    const inOrder = [2, 1, 3, 0].map((i) => variables[i]!);
    const message = await errorOf(optimizer, () => {
      for (let call = 0; call < 2; call++) optimizer.minimize(loss, false, inOrder);
    });
    expect(message).to.match(/the gradient of 'first-bad\/1' is NaN/);
  });

  it('keeps what was added up before word comes that the step before it was bad', async () => {
    const [copy, reference] = [copyOf('late'), copyOf('late-reference')];
    const [optimizer, fresh] = [optimizerOf({accumulate, nonFinite: 'skip'}), optimizerOf({})];
    const names = ['wide', 'bias'];
    for (let call = 0; call < accumulate; call++) {
      const loss = (): tf.Scalar =>
        tf.tidy(() => tf.addN(names.map((name) => tf.mul(tf.sum(copy.variables.get(name)!), NaN))));
      optimizer.minimize(
        loss,
        false,
        names.map((name) => copy.variables.get(name)!),
      );
    }
    const calls = [3, 4, 5];
    // Where the check comes later, it comes now.
    copy.minimize(optimizer, calls[0]!, names);
    await optimizer.settled();
    for (const call of calls.slice(1)) copy.minimize(optimizer, call, names);
    await optimizer.settled();
    expect(optimizer.skippedSteps).to.equal(1);
    reference.applyMean(
      fresh,
      calls.map((call) => [call, names]),
    );
    await fresh.settled();
    const [actual, expected] = [await copy.values(), await reference.values()];
    expect(actual.bias).to.deep.equal(expected.bias);
    expect(actual.wide!.every(Number.isFinite)).to.equal(true);
    expect(optimizer.stateBytes).to.equal(fresh.stateBytes);
  });

  it('survives an error in the forward pass, and starts the step anew after one in the backward pass', async () => {
    const [whole, parts] = [copyOf('error-whole'), copyOf('error-parts')];
    const [uninterrupted, optimizer] = [optimizerOf({accumulate}), optimizerOf({accumulate})];
    const failing = (inForward: boolean): tf.Scalar =>
      tf.tidy(() => {
        const fail = tf.customGrad((x) => {
          if (inForward) throw new Error('forward');
          const gradFunc = (): tf.Tensor => {
            throw new Error('backward');
          };
          return {value: tf.sum(x as tf.Tensor), gradFunc};
        });
        const {tall, bias} = Object.fromEntries(parts.variables);
        return tf.add<tf.Scalar>(fail(tall!), tf.sum(bias!));
      });
    let call = 0;
    for (; call < accumulate + 1; call++) {
      whole.minimize(uninterrupted, call);
      parts.minimize(optimizer, call);
    }
    expect(() => optimizer.minimize(() => failing(true))).to.throw('forward');
    for (; call < 2 * accumulate + 1; call++) {
      whole.minimize(uninterrupted, call);
      parts.minimize(optimizer, call);
    }
    expect(await parts.values()).to.deep.equal(await whole.values());

    // The gradient of the bias is there when the other one fails.
    const trained = [...parts.variables.values()];
    expect(() => optimizer.minimize(() => failing(false), false, trained)).to.throw('backward');
    const fresh = await savedNames(optimizer);
    expect(fresh.filter((name) => /gradient/i.test(name))).to.deep.equal([]);
    const before = await parts.values();
    for (let i = 1; i < accumulate; i++) parts.minimize(optimizer, call + i);
    expect(await parts.values()).to.deep.equal(before);
    parts.minimize(optimizer, call);
    expect(await parts.values()).not.to.deep.equal(before);
    await optimizer.settled();
    await uninterrupted.settled();
  });

  /*
   * A projected matrix: its gradient, and R; when the gradient is gone R and the new sum, before the old one goes. Any other
   * variable: its gradient and the new sum. What the forward and the backward pass take is a few scalars here.
   */
  for (const project of [true, false]) {
    it(`takes ${project ? 'one buffer and R' : 'two buffers'} of a matrix' size for a call in the middle of a step`, async () => {
      const [rows, columns, rank] = [64, 32, 2];
      const meter = startMemoryMeter();
      const matrix = tf.tidy(() => tf.variable(tf.zeros([rows, columns])));
      const optimizer = optimizerOf({accumulate, rank, project: project ? () => true : false});
      const peaks: number[] = [];
      for (let call = 0; call < 2 * accumulate; call++) {
        meter.reset();
        const before = meter.current();
        optimizer.minimize(() => gradientFromNowhere(matrix), false, [matrix]);
        await optimizer.settled();
        peaks.push(meter.peak() - before);
      }
      meter.stop();
      matrix.dispose();
      const size = 4 * rows * columns;
      const expected = size + (project ? 4 * rank * rows : size);
      expect(peaks[accumulate + 1]).to.be.within(expected, expected + 16);
    });
  }
});

/** A loss whose gradient is made when it is asked for, of nothing. */
function gradientFromNowhere(weight: tf.Variable): tf.Scalar {
  return tf.customGrad(() => ({
    value: tf.scalar(1),
    gradFunc: () => tf.fill(weight.shape, 0.5),
  }))(weight);
}
