import {expect} from 'chai';
import {FittedDefaults} from '../../src/cli/fitted_defaults';

const nothing = new Map<string, string>();

describe('FittedDefaults', () => {
  it('leaves the defaults to models and runs that have room for them', () => {
    const fitted = new FittedDefaults(nothing);
    const sizes = {blocks: 32, steps: 5000};
    expect(fitted.gamma(5, sizes)).to.equal(5);
    expect(fitted.interval(50, sizes)).to.equal(50);
    expect(fitted.atMost('batchSize', 16, 16, '')).to.equal(16);
    expect(fitted.line()).to.equal(null);
  });

  it('fits them to small ones, and says so in one line', () => {
    const fitted = new FittedDefaults(nothing);
    // ten periods and a rest
    const sizes = {blocks: 5, steps: 259};
    expect(fitted.gamma(5, sizes)).to.equal(4);
    expect(fitted.interval(50, sizes)).to.equal(25);
    expect(fitted.atMost('batchSize', 16, 9, '9 examples')).to.equal(9);
    expect(fitted.instead('tau', 13, 13, '')).to.equal(13);
    expect(fitted.line()).to.equal(
      "the paper's defaults, fitted: gamma 5 → 4 (of 5 blocks), interval 50 → 25 (259 steps), " +
        'batchSize 16 → 9 (9 examples)',
    );
  });

  it('draws no block without a score', () => {
    const fitted = new FittedDefaults(nothing);
    const sizes = {blocks: 8, steps: 5000};
    expect(fitted.gamma(5, sizes, 3)).to.equal(3);
    expect(fitted.line()).to.equal(
      "the paper's defaults, fitted: gamma 5 → 3 (3 blocks have a score)",
    );
    expect(fitted.gamma(5, sizes, 0)).to.equal(5);
  });

  it('never goes below one block, and ten steps', () => {
    const fitted = new FittedDefaults(nothing);
    const sizes = {blocks: 1, steps: 3};
    expect(fitted.gamma(5, sizes)).to.equal(1);
    expect(fitted.interval(50, sizes)).to.equal(10);
  });

  it('leaves what was given as it is', () => {
    const given = new Map(['gamma', 'interval'].map((name) => [name, name]));
    const fitted = new FittedDefaults(given);
    const sizes = {blocks: 8, steps: 250};
    expect(fitted.gamma(6, sizes)).to.equal(6);
    expect(fitted.interval(50, sizes)).to.equal(50);
    expect(fitted.line()).to.equal(null);
  });
});
