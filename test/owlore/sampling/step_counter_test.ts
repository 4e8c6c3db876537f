import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreOptimizer} from '../../../src/index';
import {StepCounter, stepsOfBatches} from '../../../src/owlore/sampling/step_counter';
import {expectWarning} from '../../support/warnings';

/** Moves nothing and does not count. */
class Silent extends tf.Optimizer {
  static readonly className = 'Silent';
  override applyGradients(): void {
    /* moves nothing */
  }
  override getConfig(): tf.serialization.ConfigDict {
    return {};
  }
}

describe('StepCounter', () => {
  let weight: tf.Variable;
  let optimizers: tf.Optimizer[] = [];
  beforeEach(() => (weight = tf.tidy(() => tf.variable(tf.scalar(1)))));
  afterEach(() => {
    for (const optimizer of optimizers) optimizer.dispose();
    optimizers = [];
    weight.dispose();
  });

  function ours(accumulate: number): OwLoreOptimizer {
    const optimizer = new OwLoreOptimizer({accumulate});
    optimizers.push(optimizer);
    return optimizer;
  }

  function call(optimizer: tf.Optimizer): void {
    optimizer.minimize(() => tf.sum(tf.square(weight)), false, [weight]);
  }

  it('counts the steps that an optimizer has made of several calls', () => {
    const optimizer = ours(2);
    const counter = new StepCounter(5);
    const counts = [counter.steps];
    for (let i = 0; i < 4; i++) {
      counter.begin(optimizer);
      counts.push(counter.steps);
      call(optimizer);
      counts.push(counter.steps);
    }
    expect(counts).to.deep.equal([5, 5, 5, 5, 6, 6, 6, 6, 7]);
    counter.end();
    expect(counter.steps).to.equal(7);
    // without the callback
    for (let i = 0; i < 2; i++) call(optimizer);
    expect(counter.steps).to.equal(7);
  });

  it('counts no batch that has failed', () => {
    const optimizer = ours(1);
    const counter = new StepCounter(0);
    for (const hasFailed of [true, false, true, true, false]) {
      counter.begin(optimizer);
      if (!hasFailed) call(optimizer);
    }
    expect(counter.steps).to.equal(2);
    // the last batch was none, and what is done after its end is not counted
    counter.begin(optimizer);
    counter.end();
    call(optimizer);
    expect(counter.steps).to.equal(2);
  });

  it('counts a step that is completed after the end of the last batch', () => {
    const optimizer = ours(3);
    const counter = new StepCounter(0);
    counter.begin(optimizer);
    call(optimizer);
    counter.end();
    expect(counter.steps).to.equal(0);
    optimizer.flush();
    expect(counter.steps).to.equal(1);
    counter.end();
    expect(counter.steps).to.equal(1);
  });

  it('counts each batch as a step where the optimizer cannot be asked', () => {
    for (const optimizer of [tf.train.sgd(0.1), new Silent()]) {
      const counter = new StepCounter(1);
      for (let i = 0; i < 3; i++) {
        counter.begin(optimizer);
        expect(counter.steps).to.equal(i + 2);
        call(optimizer);
      }
      counter.end();
      expect(counter.steps).to.equal(4);
      expect(counter.state).to.deep.equal({steps: 4, open: null});
    }
  });

  it('tells what another one goes on from', () => {
    const optimizer = ours(2);
    let counter = new StepCounter(3);
    const states = [counter.state];
    for (let i = 0; i < 5; i++) {
      counter.begin(optimizer);
      states.push(counter.state);
      call(optimizer);
      states.push(counter.state);
      counter = StepCounter.from(structuredClone(counter.state), optimizer);
      expect(counter.state).to.deep.equal(states.at(-1));
    }
    const between = (steps: number): object => ({steps, open: null});
    const open = (iterations: number, accumulated = 0): object => ({
      steps: 3 + iterations,
      open: {iterations, accumulated},
    });
    expect(states).to.deep.equal([
      ...[between(3), between(3), open(0), open(0, 1), between(4)],
      ...[between(4), open(1), open(1, 1), between(5), between(5), open(2)],
    ]);
    optimizer.flush();
    expect(counter.state).to.deep.equal(between(6));
  });

  it('refuses a loop that does not call the optimizer in ten batches in a row', () => {
    const optimizer = ours(30);
    const counter = new StepCounter(0);
    const batches = (count: number, isCalled: boolean): void => {
      for (let i = 0; i < count; i++) {
        counter.begin(optimizer);
        if (isCalled) call(optimizer);
      }
    };
    // calls of a step that is not made yet are calls
    batches(15, true);
    batches(9, false);
    batches(1, true);
    batches(10, false);
    expect(() => counter.begin(optimizer)).to.throw(
      'LayerSamplingCallback: the optimizer (OwLoreOptimizer) has not been called for 10 batches; if your loop uses another one',
    );
  });

  it('warns of such a loop, once, with an optimizer of tfjs, and lets others be', () => {
    const counter = new StepCounter(0);
    const sgd = tf.train.sgd(0.1);
    for (let i = 0; i < 10; i++) counter.begin(sgd);
    call(sgd);
    for (let i = 0; i < 10; i++) counter.begin(sgd);
    expectWarning(/the optimizer \(SGD\) has not been called for 10 batches/);
    for (let i = 0; i < 25; i++) counter.begin(sgd);
    const silent = new Silent();
    for (let i = 0; i < 25; i++) counter.begin(silent);
  });

  it('tells the steps of some batches, with the step that is open', () => {
    const optimizer = ours(4);
    expect([0, 1, 4, 5, 8].map((n) => stepsOfBatches(n, optimizer))).to.deep.equal([0, 1, 1, 2, 2]);
    call(optimizer);
    expect([0, 1, 3, 4, 7].map((n) => stepsOfBatches(n, optimizer))).to.deep.equal([1, 1, 1, 2, 2]);
    expect(stepsOfBatches(7, tf.train.sgd(0.1))).to.equal(7);
  });
});
