import {expect} from 'chai';
import {isReached, written} from '../../bench/results/figure';

describe('bench/figure', () => {
  it('writes values by their unit, to three digits', () => {
    expect(written(12.345, 'times')).to.equal('12.3 ×');
    expect(written(0.04567, 'share')).to.equal('4.57 %');
    expect(written(4, 'count')).to.equal('4');
  });

  it('counts the bound itself as reached', () => {
    expect(isReached(3, {atMost: 3})).to.equal(true);
    expect(isReached(3, {atLeast: 3})).to.equal(true);
    expect(isReached(2, {atLeast: 3})).to.equal(false);
    expect(isReached(NaN, {atMost: 3})).to.equal(false);
  });
});
