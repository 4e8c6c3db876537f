import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src/index';
import {fromBfloat16, toBfloat16} from '../../src/files/half_precision';
import {describeBackends} from '../support/backends';
import {freeze} from '../support/freeze';
import {occupied, since, type Occupied} from '../support/state_ledger';

const [rows, columns, rank] = [6, 9, 2];
/** Numbers of a block's state: basis and moments of the matrix (side left), moments of the bias. */
const moments = 2 * rank * columns + 2 * columns;
const basis = rank * rows;

/** Blocks of a projected matrix and a bias, whose gradients differ from step to step. */
class Blocks {
  readonly variables: tf.Variable[][];
  private steps = 0;

  constructor(count: number) {
    this.variables = tf.tidy(() =>
      Array.from({length: count}, () => [
        tf.variable(tf.ones([rows, columns])),
        tf.variable(tf.ones([columns])),
      ]),
    );
  }

  step(optimizer: OwLoreOptimizer, on: readonly number[]): void {
    const random = tf.randomNormal([rows, columns], 0, 1, 'float32', ++this.steps);
    const trained = on.flatMap((block) => this.variables[block]!);
    const all = this.variables.flat();
    freeze(
      optimizer,
      all,
      all.filter((variable) => !trained.includes(variable)),
    );
    const loss = (): tf.Scalar =>
      tf.addN<tf.Scalar>(trained.map((x) => tf.sum(tf.square(tf.sub(x, random)))));
    optimizer.minimize(() => tf.tidy(loss), false, trained);
    random.dispose();
  }

  async values(): Promise<number[][]> {
    return Promise.all(this.variables.flat().map(async (x) => [...(await x.data())]));
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

async function saved(optimizer: OwLoreOptimizer, name: RegExp): Promise<Map<string, number[]>> {
  const entries = (await optimizer.getWeights()).filter((entry) => name.test(entry.name));
  return new Map(
    await Promise.all(
      entries.map(
        async ({name, tensor}) => [name, [...(await tensor.data())]] as [string, number[]],
      ),
    ),
  );
}

const optimizerOf = (options: OwLoreOptions): OwLoreOptimizer =>
  new OwLoreOptimizer({learningRate: 0.1, rank, side: 'left', refreshInterval: 3, ...options});

/** Which blocks are on in each step; every one comes back. */
const plan = [[0], [0], [1], [2, 0], [2], [1], [0], [1, 2], [0], [0, 1, 2]];

describe('states of variables that no longer exist', () => {
  for (const state of ['keep', 'offload'] as const) {
    it(`are freed: '${state}'`, async () => {
      const optimizer = optimizerOf({state});
      const bytes: number[] = [];
      for (let fold = 0; fold < 3; fold++) {
        const blocks = new Blocks(2);
        for (const on of [[0], [1]]) blocks.step(optimizer, on);
        bytes.push(optimizer.stateBytes + optimizer.offloadedBytes);
        const names = blocks.variables.flat().map(({name}) => name);
        const owners = [...(await saved(optimizer, /moment1/)).keys()];
        expect(owners.map((name) => name.split('/owlore')[0])).to.have.members(names);
        blocks.dispose();
        // nor are they saved before the next step
        expect(await saved(optimizer, /moment1/)).to.have.property('size', 0);
      }
      expect(new Set(bytes)).to.have.property('size', 1);
      optimizer.dispose();
    });
  }
});

describeBackends('states of frozen variables', (backend) => {
  let start: Occupied;
  beforeEach(() => (start = occupied()));

  if (backend === 'webgpu' || backend === 'webgl') {
    for (const state of ['offload', 'offload-bf16'] as const) {
      it(`'${state}' is refused before anything changes`, async () => {
        const blocks = new Blocks(1);
        const optimizer = optimizerOf({state});
        expect(() => blocks.step(optimizer, [0])).to.throw(
          new RegExp(`state '${state}' reads tensors back .* use state: 'keep' or 'reset'`),
        );
        expect((await blocks.values()).flat().every((x) => x === 1)).to.equal(true);
        blocks.dispose();
      });
    }
    return;
  }

  for (const accumulate of [1, 2]) {
    it(`'offload' trains as 'keep', in the bytes of 'reset', accumulate ${accumulate}`, async () => {
      const [kept, offloaded, reset] = (['keep', 'offload', 'reset'] as const).map((state) => ({
        blocks: new Blocks(3),
        optimizer: optimizerOf({state, accumulate, moments: 'rotate'}),
      }));
      for (const [step, on] of plan.entries()) {
        for (const {blocks, optimizer} of [kept!, offloaded!, reset!]) {
          for (let call = 0; call < accumulate; call++) blocks.step(optimizer, on);
        }
        expect(await offloaded!.blocks.values(), `step ${step}`).to.deep.equal(
          await kept!.blocks.values(),
        );
        const {stateBytes, offloadedBytes} = offloaded!.optimizer;
        expect(stateBytes).to.equal(reset!.optimizer.stateBytes);
        expect(stateBytes + offloadedBytes).to.equal(kept!.optimizer.stateBytes);
        expect(kept!.optimizer.offloadedBytes).to.equal(0);
      }
      expect(await kept!.blocks.values()).not.to.deep.equal(await reset!.blocks.values());
      for (const {blocks, optimizer} of [kept!, offloaded!, reset!]) {
        optimizer.dispose();
        expect(optimizer.offloadedBytes).to.equal(0);
        blocks.dispose();
      }
      expect(since(start)).to.deep.equal({tensors: 0, bytes: 0});
    });
  }

  const block = 4 * (moments + basis);
  /** Bytes on the device after `on` blocks were on, one after the other, and bytes on the host. */
  const bytes: Record<string, (on: number) => [device: number, host: number]> = {
    reset: () => [block, 0],
    keep: (on) => [on * block, 0],
    offload: (on) => [block, (on - 1) * block],
    'offload-bf16': (on) => [block, (on - 1) * (2 * moments + 4 * basis)],
  };
  for (const [state, expected] of Object.entries(bytes)) {
    it(`'${state}': bytes by the number of blocks that were visited`, () => {
      const blocks = new Blocks(8);
      const optimizer = optimizerOf({state: state as 'keep'});
      const withWeights = occupied();
      for (let on = 1; on <= 8; on++) {
        blocks.step(optimizer, [on - 1]);
        const [device, host] = expected(on);
        expect(since(withWeights), `block ${on}`).to.deep.equal({
          tensors: (5 * device) / block,
          bytes: device,
        });
        expect([optimizer.stateBytes, optimizer.offloadedBytes]).to.deep.equal([device, host]);
      }
      optimizer.dispose();
      blocks.dispose();
      expect(since(start)).to.deep.equal({tensors: 0, bytes: 0});
    });
  }

  it("'offload-bf16' gives moments back to the nearest bfloat16, and bases and clocks as they were", async () => {
    const [kept, halved] = (['keep', 'offload-bf16'] as const).map((state) => ({
      blocks: new Blocks(2),
      optimizer: optimizerOf({state}),
    }));
    for (const {blocks, optimizer} of [kept!, halved!]) {
      for (const on of [[0], [0], [1]]) blocks.step(optimizer, on);
    }
    const nameOf = (one: typeof kept, block: number): RegExp =>
      new RegExp(one!.blocks.variables[block]!.map(({name}) => `^${name}/`).join('|'));
    for (const block of [0, 1]) {
      const before = [...(await saved(kept!.optimizer, nameOf(kept, block)))];
      const after = [...(await saved(halved!.optimizer, nameOf(halved, block))).values()];
      expect(after).to.have.length(before.length);
      for (const [i, [name, values]] of before.entries()) {
        if (name.endsWith('clocks')) {
          expect(after[i]!.slice(0, 2), name).to.deep.equal(values.slice(0, 2));
          continue;
        }
        const isRounded = block === 0 && name.includes('moment');
        const expected = isRounded
          ? [...fromBfloat16(toBfloat16(Float32Array.from(values)))]
          : values;
        expect(after[i], name).to.deep.equal(expected);
      }
    }
    for (const {blocks, optimizer} of [kept!, halved!]) {
      optimizer.dispose();
      blocks.dispose();
    }
  });

  it('takes a state that no step was made of, after one that failed', async () => {
    const blocks = new Blocks(2);
    const optimizer = optimizerOf({state: 'offload'});
    const bad = blocks.variables[0]!.map(({name, shape}) => ({name, tensor: tf.fill(shape, NaN)}));
    expect(() => optimizer.applyGradients(bad)).to.throw(/the gradient of .* is NaN/);
    blocks.step(optimizer, [1]);
    expect(optimizer.offloadedBytes).to.equal(0);
    blocks.step(optimizer, [0]);
    expect(optimizer.stateBytes).to.equal(4 * (moments + basis));
    tf.dispose(bad.map(({tensor}) => tensor));
    optimizer.dispose();
    blocks.dispose();
    expect(since(start)).to.deep.equal({tensors: 0, bytes: 0});
  });

  it("'offload-bf16' gives back the norm that limits the next step as it was", async () => {
    const [kept, halved] = (['keep', 'offload-bf16'] as const).map((state) => {
      const blocks = new Blocks(2);
      const optimizer = optimizerOf({state, update: 'fira'});
      for (const on of [[0], [1]]) blocks.step(optimizer, on);
      return {blocks, optimizer};
    });
    const limits = async ({optimizer}: typeof kept & object): Promise<number[]> =>
      [...(await saved(optimizer, /limit$/)).values()].flat();
    const expected = await limits(kept!);
    expect(expected).to.have.length(2);
    expect((await limits(halved!)).sort()).to.deep.equal(expected.sort());
    for (const {blocks, optimizer} of [kept!, halved!]) {
      optimizer.dispose();
      blocks.dispose();
    }
  });

  it('goes on from saved offloaded states as if it had not stopped', async () => {
    const [whole, parts] = [new Blocks(3), new Blocks(3)];
    const uninterrupted = optimizerOf({state: 'keep'});
    for (const on of plan) whole.step(uninterrupted, on);
    const [first, second] = [optimizerOf({state: 'offload'}), optimizerOf({state: 'offload'})];
    for (const on of plan.slice(0, 5)) parts.step(first, on);
    const frozen = first.offloadedBytes;
    expect(frozen).to.equal(2 * 4 * (moments + basis));
    await second.setWeights(await first.getWeights());
    expect([first, second].map(({offloadedBytes}) => offloadedBytes)).to.deep.equal([0, 0]);
    first.dispose();
    for (const on of plan.slice(5)) {
      parts.step(second, on);
      const states = second.stateBytes + second.offloadedBytes;
      expect(states).to.equal(uninterrupted.stateBytes);
    }
    expect(await parts.values()).to.deep.equal(await whole.values());
    for (const each of [uninterrupted, second, whole, parts]) each.dispose();
    expect(since(start)).to.deep.equal({tensors: 0, bytes: 0});
  });
});
