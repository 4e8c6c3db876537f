import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {describeBackends} from '../../support/backends';
import {freeze} from '../../support/freeze';
import {occupied, since, type Occupied} from '../../support/state_ledger';

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

describe('states of variables that no longer exist', () => {
  it('are freed', async () => {
    const optimizer = optimizerOf({state: 'keep'});
    const bytes: number[] = [];
    for (let fold = 0; fold < 3; fold++) {
      const blocks = new Blocks(2);
      for (const on of [[0], [1]]) blocks.step(optimizer, on);
      bytes.push(optimizer.stateBytes);
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
});

describeBackends('states of frozen variables', () => {
  let start: Occupied;
  beforeEach(() => (start = occupied()));

  const block = 4 * (moments + basis);
  /** Bytes after `on` blocks were on, one after the other. */
  const bytes = {reset: () => block, keep: (on: number) => on * block};
  for (const state of ['reset', 'keep'] as const) {
    it(`'${state}': bytes by the number of blocks that were visited`, async () => {
      const blocks = new Blocks(8);
      const optimizer = optimizerOf({state});
      const withWeights = occupied();
      for (let on = 1; on <= 8; on++) {
        blocks.step(optimizer, [on - 1]);
        // on webgpu the norms of a step come later
        await optimizer.settled();
        const expected = bytes[state](on);
        expect(since(withWeights), `block ${on}`).to.deep.equal({
          tensors: (5 * expected) / block,
          bytes: expected,
        });
        expect(optimizer.stateBytes).to.equal(expected);
      }
      optimizer.dispose();
      blocks.dispose();
      expect(since(start)).to.deep.equal({tensors: 0, bytes: 0});
    });
  }
});
