import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {
  clocksOf,
  emptyState,
  uncount,
  type Clocks,
  type VariableState,
} from '../../src/optim/state';

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
});
