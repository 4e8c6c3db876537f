import {expect} from 'chai';
import type {MathBackendCPU} from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {held} from '../../support/sentinels';
import {describeStandIn} from '../../support/stand_in';

/*
 * Only wasm can tell that it has no memory (`checkRoom`). What it does with what it has is tested in test/kernels/wasm/full_memory_test.ts.
 */
describeStandIn('wasm', 'a step that there is no memory for', () => {
  /** What was asked for since the last look, and the most that there is of one tensor. */
  let asked: number[] = [];
  let max = Infinity;
  let variables: tf.Variable[];
  let start: ReturnType<typeof held>;
  beforeEach(() => {
    start = held();
    max = Infinity;
    asked = [];
    const {prototype} = tf.backend().constructor as unknown as {prototype: MathBackendCPU};
    Object.assign(tf.backend(), {
      // wasm's has two arguments, cpu's three
      makeOutput(
        ...args: [[size: number], tf.DataType] | Parameters<MathBackendCPU['makeOutput']>
      ) {
        if (args.length === 3) return prototype.makeOutput.apply(this, args);
        const [[size]] = args;
        asked.push(size);
        if (size > max) throw new Error('no memory');
        return {dataId: {}};
      },
    });
    variables = [[9], [6, 9]].map((shape, i) =>
      tf.tidy(() => tf.variable(tf.ones(shape), true, `room/${i}`)),
    );
  });
  afterEach(() => {
    tf.dispose(variables);
    expect(held()).to.deep.equal(start);
  });

  const step = (optimizer: OwLoreOptimizer, seed: number): void =>
    tf.tidy(() =>
      optimizer.applyGradients(
        variables.map(({name, shape}) => ({
          name,
          tensor: tf.randomNormal(shape, 0, 1, 'float32', seed),
        })),
      ),
    );
  const weights = (): number[][] => variables.map((variable) => [...variable.dataSync()]);

  const cases: Array<[OwLoreOptions, number[]]> = [
    // the new weight and N, of the side left where it is projected
    [{}, [9, 9, 54, 18]],
    [{project: false}, [9, 9, 54, 54]],
    [{update: 'fira'}, [9, 9, 54, 54, 54, 54, 54]],
  ];
  for (const [options, sizes] of cases) {
    it(`changes nothing, and can be made later: ${JSON.stringify(options)}`, async () => {
      const shared: OwLoreOptions = {rank: 2, learningRate: 0.1, refreshInterval: 3, ...options};
      const ends: number[][] = [];
      for (const fails of [false, true]) {
        variables.forEach((variable) => {
          tf.tidy(() => variable.assign(tf.ones(variable.shape)));
        });
        const optimizer = new OwLoreOptimizer(shared);
        for (let i = 1; i <= 5; i++) {
          const before = weights();
          if (fails && i !== 4) {
            max = 53;
            expect(() => step(optimizer, i)).to.throw('no memory');
            expect(weights()).to.deep.equal(before);
            expect(optimizer.iterations).to.equal(i - 1);
            max = Infinity;
            // what is saved then is a state
            const other = new OwLoreOptimizer(shared);
            await other.setWeights(await optimizer.getWeights());
            other.dispose();
          }
          asked = [];
          step(optimizer, i);
          expect(asked).to.deep.equal(sizes);
        }
        ends.push(weights().flat());
        optimizer.dispose();
      }
      // R is rounded otherwise where its basis is there already.
      ends[1]!.forEach((x, i) => expect(x, `number ${i}`).to.be.closeTo(ends[0]![i]!, 1e-6));
    });
  }
});
