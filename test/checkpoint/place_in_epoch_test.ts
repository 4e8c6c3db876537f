import {expect} from 'chai';
import type {ResumableOptimizer} from '../../src/checkpoint/parts';
import {batchesDone, rememberPlace} from '../../src/checkpoint/place_in_epoch';

describe('the place in an epoch where a training goes on', () => {
  it('counts in that epoch, until the optimizer is called', () => {
    const counters = {iterations: 5, accumulated: 1};
    const optimizer = counters as ResumableOptimizer;
    expect(batchesDone(optimizer, 2)).to.equal(0);
    rememberPlace(optimizer, {epoch: 2, batches: 3});
    expect([1, 2, 3].map((epoch) => batchesDone(optimizer, epoch))).to.deep.equal([0, 3, 0]);
    for (const called of [{accumulated: 2}, {iterations: 6}]) {
      const calledOptimizer = {...counters} as ResumableOptimizer;
      rememberPlace(calledOptimizer, {epoch: 2, batches: 3});
      Object.assign(calledOptimizer, called);
      expect(batchesDone(calledOptimizer, 2)).to.equal(0);
    }
  });
});
