import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {
  clocksOf,
  emptyState,
  fits,
  uncount,
  type Clocks,
  type VariableState,
} from '../../../../src/owlore/optimizer/state/state';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../../src/index';
import {planProjection} from '../../../../src/owlore/optimizer/state/projector';
import {describeBackends} from '../../../support/backends';
import {freeze} from '../../../support/freeze';
import {occupied, since, type Occupied} from '../../../support/state_ledger';

describe('the clocks of steps that changed nothing', () => {
  const state = (): VariableState => ({
    ...emptyState(),
    moments: {first: tf.scalar(0), second: tf.scalar(0)},
    basis: tf.zeros([2, 1]),
    adamSteps: 5,
    basisSteps: 5,
  });
  const free = ({moments, basis}: VariableState): void =>
    tf.dispose([moments?.first, moments?.second, basis].filter((each) => each != null));

  /** The clocks after some steps with a refresh at 6 steps, of which some are then found, one after the other, to be bad. */
  function clocksAfter(steps: number, bad: readonly number[]): [number, number] {
    const trained = state();
    const remembered: Clocks[] = [];
    for (let step = 0; step < steps; step++) {
      remembered.push(clocksOf([trained]));
      const isRefreshed = trained.basisSteps >= 6;
      trained.adamSteps = isRefreshed ? 1 : trained.adamSteps + 1;
      trained.basisSteps = isRefreshed ? 1 : trained.basisSteps + 1;
    }
    for (const step of bad) uncount(remembered.slice(step));
    free(trained);
    return [trained.adamSteps, trained.basisSteps];
  }

  it('are taken back, and later steps stay counted', () => {
    expect(clocksAfter(1, [0])).to.deep.equal([5, 5]);
    expect(clocksAfter(2, [1])).to.deep.equal([6, 6]);
    expect(clocksAfter(2, [0, 1])).to.deep.equal([5, 5]);
    expect(clocksAfter(3, [1, 2])).to.deep.equal([6, 6]);
    // the second step refreshed the basis, and had it to itself
    expect(clocksAfter(2, [0])).to.deep.equal([1, 1]);
    expect(clocksAfter(4, [0])).to.deep.equal([3, 3]);
    expect(clocksAfter(4, [0, 2])).to.deep.equal([2, 2]);
  });

  it('are those of the variables of a step alone', () => {
    const [one, other] = [state(), state()];
    const remembered = [one, other, one].map((trained) => {
      const clocks = clocksOf([trained]);
      trained.adamSteps++;
      trained.basisSteps++;
      return clocks;
    });
    uncount(remembered);
    expect([one, other].map(({adamSteps}) => adamSteps)).to.deep.equal([6, 6]);
    uncount(remembered.slice(1));
    expect([one, other].map(({basisSteps}) => basisSteps)).to.deep.equal([6, 5]);
    for (const each of [one, other]) free(each);
  });
});

describe('fits', () => {
  const projection = planProjection([6, 9], 2, 'left')!;
  const cases: Array<
    [what: string, shapes: Record<string, number[]>, projected: boolean, plain: boolean]
  > = [
    // prettier-ignore
    ['nothing', {}, true, true],
    ['moments of R and a basis', {first: [2, 9], basis: [6, 2]}, true, false],
    ['moments of R alone', {first: [2, 9]}, false, false],
    ['whole moments', {first: [6, 9]}, false, true],
    ['a basis alone', {basis: [6, 2]}, true, false],
    ['a basis of another side', {basis: [9, 2]}, false, false],
    ['a whole sum', {gradientSum: [6, 9]}, true, true],
    ['a sum of another shape', {gradientSum: [9, 6]}, false, false],
    ['a projected sum and a basis', {projectedSum: [2, 9], basis: [6, 2]}, true, false],
  ];
  for (const [what, {first, basis, ...sums}, ...expected] of cases) {
    it(`${what}: ${expected[0] ? '' : 'not '}if it is projected, ${expected[1] ? '' : 'not '}if it is not`, () => {
      tf.tidy(() => {
        const made = Object.entries(sums).map(([name, shape]) => [name, tf.zeros(shape)] as const);
        const state: VariableState = {
          ...emptyState(),
          moments: first ? {first: tf.zeros(first), second: tf.zeros(first)} : null,
          basis: basis ? tf.zeros(basis as [number, number]) : null,
          ...Object.fromEntries(made),
        };
        const results = [projection, null].map((each) => fits(state, [6, 9], each));
        expect(results).to.deep.equal(expected);
      });
    });
  }
});

/** One `tf.train.adam` for each variable: a step moves those with a gradient alone, each by its own moments and clock. */
class AdamOfEach {
  private readonly optimizers = new Map<string, tf.AdamOptimizer>();

  constructor(private readonly learningRate: number) {}

  minimize(f: () => tf.Scalar, variables: tf.Variable[]): void {
    const {value, grads} = tf.variableGrads(f, variables);
    for (const [name, tensor] of Object.entries(grads)) {
      // tfjs gives null for a variable that the loss does not depend on
      if (!(tensor as tf.Tensor | null)) continue;
      const optimizer =
        this.optimizers.get(name) ?? tf.train.adam(this.learningRate, 0.9, 0.999, 1e-8);
      this.optimizers.set(name, optimizer);
      optimizer.applyGradients([{name, tensor}]);
    }
    tf.dispose([value, grads]);
  }

  dispose(): void {
    for (const optimizer of this.optimizers.values()) optimizer.dispose();
  }
}

const learningRate = 0.02;
const adam = (): tf.Optimizer => tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
const ours = (options: OwLoreOptions = {}): OwLoreOptimizer =>
  new OwLoreOptimizer({learningRate, ...options});

/** A trunk with two heads, and what each head is to learn of eight inputs. */
class TwoHeads {
  readonly variables: tf.Variable[];
  private readonly x = tf.randomNormal<tf.Rank.R2>([8, 3], 0, 1, 'float32', 5);
  private readonly targets = [1, 2].map((head) =>
    tf.tidy(() => tf.sin(tf.mul(tf.sum(this.x, 1, true), head))),
  );

  constructor() {
    const shapes: Array<[number, number]> = [
      [3, 12],
      [12, 1],
      [12, 1],
    ];
    this.variables = shapes.map((shape, i) =>
      tf.tidy(() => tf.variable(tf.randomNormal<tf.Rank.R2>(shape, 0, 0.5, 'float32', i + 1))),
    );
  }

  loss(head: number): tf.Scalar {
    return tf.tidy(() => {
      const [trunk, ...heads] = this.variables as tf.Tensor2D[];
      const hidden = tf.tanh(tf.matMul(this.x, trunk!));
      const target = this.targets[head]!;
      return tf.losses.meanSquaredError(target, tf.matMul(hidden, heads[head]!));
    });
  }

  async values(): Promise<number[]> {
    return (await Promise.all(this.variables.map((x) => x.data()))).flatMap((x) => [...x]);
  }

  async losses(): Promise<number[]> {
    const losses = [0, 1].map((head) => this.loss(head));
    const values = await Promise.all(losses.map(async (loss) => (await loss.data())[0]!));
    tf.dispose(losses);
    return values;
  }

  dispose(): void {
    tf.dispose([this.variables, this.x, this.targets]);
  }
}

function expectNear(actual: readonly number[], expected: readonly number[], within: number): void {
  expect(actual).to.have.length(expected.length);
  actual.forEach((x, i) => expect(x, `number ${i}`).to.be.closeTo(expected[i]!, within));
}

describeBackends('the state of a variable without a gradient', (backend) => {
  let start: Occupied;
  beforeEach(() => (start = occupied()));
  afterEach(() => expect(since(start)).to.deep.equal({tensors: 0, bytes: 0}));

  it('stays as it is, with its own clock: two heads whose losses alternate', async () => {
    const [model, reference] = [new TwoHeads(), new TwoHeads()];
    const optimizer = ours();
    const each = new AdamOfEach(learningRate);
    for (let step = 0; step < 40; step++) {
      const head = step % 2;
      optimizer.minimize(() => model.loss(head), false, model.variables);
      each.minimize(() => reference.loss(head), reference.variables);
    }
    await optimizer.settled();
    // Adam moves by 0.02 a step whatever the gradient: rounding shows where one is nearly 0.
    expectNear(await model.values(), await reference.values(), 1e-3);
    for (const one of [optimizer, each, model, reference]) one.dispose();
  });

  if (backend === 'webgpu' || backend === 'webgl') return;

  it('two heads whose losses alternate come as far as with tf.train.adam', async () => {
    const finals: number[][] = [];
    for (const make of [adam, ours]) {
      const model = new TwoHeads();
      const optimizer = make();
      for (let step = 0; step < 600; step++) {
        optimizer.minimize(() => model.loss(step % 2), false, model.variables);
      }
      finals.push(await model.losses());
      optimizer.dispose();
      model.dispose();
    }
    const [stock, own] = finals as [number[], number[]];
    stock.forEach((loss, head) => {
      expect(loss).to.be.below(1e-3);
      expect(own[head]).to.be.below(3 * loss + 1e-5);
    });
  });

  for (const accumulate of [1, 2]) {
    it(`one optimizer for two models does what one for each does, accumulate ${accumulate}`, async () => {
      const [models, references] = [0, 1].map(() => [new TwoHeads(), new TwoHeads()]);
      const shared = ours({accumulate});
      const own = [ours({accumulate}), ours({accumulate})];
      for (let step = 0; step < 20; step++) {
        const which = step % 2;
        for (let call = 0; call < accumulate; call++) {
          for (const [model, optimizer] of [
            [models![which]!, shared],
            [references![which]!, own[which]!],
          ] as const) {
            optimizer.minimize(() => model.loss(call), false, model.variables);
          }
        }
      }
      for (const which of [0, 1]) {
        expect(await models![which]!.values()).to.deep.equal(await references![which]!.values());
      }
      const bytes = own.reduce((sum, {stateBytes}) => sum + stateBytes, 0);
      expect(shared.stateBytes).to.equal(bytes);
      for (const one of [shared, ...own, ...models!, ...references!]) one.dispose();
    });
  }

  it('one optimizer for two models goes on from its saved state as if it had not stopped', async () => {
    const [whole, parts] = [0, 1].map(() => [new TwoHeads(), new TwoHeads()]);
    const uninterrupted = ours();
    let optimizer = ours();
    for (let step = 0; step < 12; step++) {
      if (step % 5 === 4) {
        const next = ours();
        await next.setWeights(await optimizer.getWeights());
        optimizer.dispose();
        optimizer = next;
      }
      for (const [one, models] of [
        [uninterrupted, whole!],
        [optimizer, parts!],
      ] as const) {
        const model = models[step % 2]!;
        one.minimize(() => model.loss(step % 3 === 0 ? 1 : 0), false, model.variables);
      }
    }
    for (const which of [0, 1]) {
      expect(await parts![which]!.values()).to.deep.equal(await whole![which]!.values());
    }
    for (const one of [uninterrupted, optimizer, ...whole!, ...parts!]) one.dispose();
  });

  it('stays where the user froze it, without a callback', async () => {
    const [model, reference] = [new TwoHeads(), new TwoHeads()];
    const optimizer = ours();
    const each = new AdamOfEach(learningRate);
    for (let step = 0; step < 30; step++) {
      const isFrozen = step >= 10 && step < 20;
      for (const {variables} of [model, reference]) variables[0]!.trainable = !isFrozen;
      optimizer.minimize(() => model.loss(0));
      each.minimize(() => reference.loss(0), reference.variables);
    }
    expectNear(await model.values(), await reference.values(), 1e-3);
    for (const one of [optimizer, each, model, reference]) one.dispose();
  });

  it('is freed where a callback froze it, and stays where it is another model’s', () => {
    const [sampled, other] = [new TwoHeads(), new TwoHeads()];
    const optimizer = ours();
    for (const {variables} of [sampled, other]) {
      const model = variables === sampled.variables ? sampled : other;
      for (const head of [0, 1]) optimizer.minimize(() => model.loss(head), false, variables);
    }
    const all = optimizer.stateBytes;
    freeze(optimizer, sampled.variables, [sampled.variables[1]!]);
    optimizer.minimize(() => other.loss(0), false, other.variables);
    expect(optimizer.stateBytes).to.equal(all - 2 * 4 * 12);
    for (const one of [optimizer, sampled, other]) one.dispose();
  });

  it('is freed with its model: many models leave nothing behind', () => {
    const optimizer = ours();
    const bytes = new Set<number>();
    for (let fold = 0; fold < 6; fold++) {
      const model = new TwoHeads();
      for (const head of [0, 1, 0]) optimizer.minimize(() => model.loss(head));
      bytes.add(optimizer.stateBytes);
      model.dispose();
    }
    expect(bytes).to.have.property('size', 1);
    optimizer.dispose();
  });
});
