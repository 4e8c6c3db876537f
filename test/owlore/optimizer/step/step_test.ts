import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer} from '../../../../src/index';
import type {OwLoreOptions} from '../../../../src/index';
import {OwLoreSquaredNorm} from '../../../../src/kernels/kernel_names';
import {watchKernels} from '../../../../src/tfjs/kernels';
import {describeBackends} from '../../../support/backends';
import {FailurePoints, InjectedError, withFailures} from '../../../tape/failures';

/*
 * An error at any point of a step leaves a state of which every tensor is alive, and with which the training can go on: the
 * third step of four, in which a basis is refreshed or, where several calls make a step, projections are added up.
 */

const variants: Record<string, OwLoreOptions> = {
  'updates at once': {nonFinite: 'ignore', moments: 'rotate'},
  'all updates at the end': {clipNorm: 0.1, weightDecay: 0.1, moments: 'reset'},
  'several calls a step': {accumulate: 2, refreshInterval: 3},
};

describeBackends('a step', (backend) => {
  // What it tests is all in JavaScript.
  if (backend !== 'cpu') return;

  for (const [title, options] of Object.entries(variants)) {
    it(`that fails at any point leaves a state that can be used: ${title}`, async () => {
      const start = tf.memory().numTensors;
      let failing = 0;
      for (let isReached = true; isReached; failing++) {
        const matrix = tf.tidy(() => tf.variable(tf.ones([5, 4]), true, 'matrix'));
        const bias = tf.tidy(() => tf.variable(tf.ones([4]), true, 'bias'));
        const input = tf.tensor2d([[1, -2, 3, 0.5, 1]]);
        const optimizer = new OwLoreOptimizer({rank: 1, refreshInterval: 2, ...options});
        const step = (): void => {
          for (let call = 0; call < optimizer.accumulate; call++) {
            optimizer.minimize(
              () => tf.tidy(() => tf.mean(tf.square(tf.add(tf.matMul(input, matrix), bias)))),
              false,
              [matrix, bias],
            );
          }
        };
        let stepsThatMoved = [0, 0];
        /** Counts for each variable whether the step moved it, by more than its decay alone. */
        const counting = (body: () => void): void => {
          const values = (): Float32Array[] =>
            [matrix, bias].map((variable) => variable.dataSync<'float32'>().slice());
          const before = values();
          try {
            body();
          } finally {
            const after = values();
            stepsThatMoved = stepsThatMoved.map((count, v) => {
              const ways = after[v]!.map((x, i) => Math.abs(x - before[v]![i]!));
              return count + (Math.max(...ways) > 5e-4 ? 1 : 0);
            });
          }
        };
        counting(step);
        counting(step);
        const points = new FailurePoints(failing);
        try {
          counting(() => withFailures(backend, points, step));
        } catch (error) {
          if (!(error instanceof InjectedError)) throw error;
        }
        for (const {name, tensor} of await optimizer.getWeights()) {
          expect(tensor.isDisposed, `${name}, point ${failing}`).to.equal(false);
          const variable = ['matrix', 'bias'].findIndex((own) => name === `${own}/owlore.clocks`);
          // the refresh of the third step sets the clock of the matrix anew
          if (variable < 0 || (variable === 0 && options.moments === 'reset')) continue;
          const [adamSteps] = await tensor.data();
          expect(adamSteps, `${name}, point ${failing}`).to.equal(stepsThatMoved[variable]);
        }
        step();
        const values = [...(await matrix.data()), ...(await bias.data())];
        expect(values.every(Number.isFinite), `point ${failing}`).to.equal(true);
        optimizer.dispose();
        tf.dispose([matrix, bias, input]);
        expect(tf.memory().numTensors, `point ${failing}`).to.equal(start);
        isReached = points.reached;
      }
      expect(failing).to.be.above(50);
    });
  }

  for (const [how, options, expected] of [
    ['by default', {}, [20, 5, 5]],
    ['not at all where nothing asks', {nonFinite: 'ignore'}, []],
    ['whole to limit the norm', {clipNorm: 1, nonFinite: 'ignore'}, [20, 20, 20]],
    ['whole for a new basis', {refreshInterval: 2}, [20, 5, 20]],
  ] as Array<[string, OwLoreOptions, number[]]>) {
    it(`measures a gradient ${how}`, async () => {
      const matrix = tf.tidy(() => tf.variable(tf.ones([4, 5]), true, 'matrix'));
      const optimizer = new OwLoreOptimizer({rank: 1, ...options});
      await optimizer.ready();
      const sizes: number[] = [];
      for (let step = 0; step < 3; step++) {
        watchKernels(
          () => tf.tidy(() => optimizer.applyGradients({matrix: tf.ones([4, 5])})),
          ({name, inputs}) => {
            if (name === OwLoreSquaredNorm) sizes.push(inputs['x']!.size);
          },
        );
      }
      expect(sizes).to.deep.equal(expected);
      optimizer.dispose();
      matrix.dispose();
    });
  }

  // the first one, and one between two refreshes
  for (const failing of [0, 2]) {
    it(`that fails has not been for what it did not come to: step ${failing + 1}`, async () => {
      /** Trains 'last', alone or after a variable that cannot be assigned to in one step, in which case that step is made again. */
      const train = async (names: string[]): Promise<unknown> => {
        const optimizer = new OwLoreOptimizer({rank: 1, refreshInterval: 4, state: 'keep'});
        const variables = names.map((name) =>
          tf.tidy(() => tf.variable(tf.ones([5, 4]), true, name)),
        );
        const gradients = (step: number) =>
          names.map((name) => ({name, tensor: tf.randomNormal([5, 4], 0, 1, 'float32', step + 1)}));
        const states: unknown[] = [];
        for (let step = 0; step < 6; step++) {
          if (step === failing && names.length > 1) {
            const broken = variables[0]!;
            broken.assign = () => {
              throw new InjectedError();
            };
            expect(() => tf.tidy(() => optimizer.applyGradients(gradients(step)))).to.throw(
              InjectedError,
            );
            Reflect.deleteProperty(broken, 'assign');
            const saved = (await optimizer.getWeights()).map(({name}) => name);
            expect(saved.includes('last/owlore.moment1')).to.equal(step > 0);
          }
          tf.tidy(() => optimizer.applyGradients(gradients(step).slice(-1)));
          for (const {name, tensor} of await optimizer.getWeights()) {
            // of the clocks those of Adam and of the basis, and not the place among the variables
            const values = [...tensor.dataSync()].slice(0, name.endsWith('clocks') ? 2 : Infinity);
            if (name.startsWith('last/')) states.push([name, values]);
          }
        }
        states.push([...variables.at(-1)!.dataSync()]);
        optimizer.dispose();
        tf.dispose(variables);
        return states;
      };
      const alone = await train(['last']);
      expect(await train(['broken', 'last'])).to.deep.equal(alone);
    });
  }
});
