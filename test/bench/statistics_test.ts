import {expect} from 'chai';
import {median} from '../../bench/harness/statistics';

describe('bench/statistics', () => {
  it('takes the middle number, whatever the order, and leaves the array as it is', () => {
    const numbers = [30, 1, 2];
    expect(median(numbers)).to.equal(2);
    expect(numbers).to.deep.equal([30, 1, 2]);
  });

  it('takes the upper of the two in the middle', () => {
    expect(median([4, 1, 3, 2])).to.equal(3);
  });
});
