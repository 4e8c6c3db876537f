import {expect} from 'chai';
import {checkWarnings, expectWarning} from './warnings';

describe('checkWarnings', () => {
  it('lets an expected warning pass, in any order', () => {
    expectWarning(/second/);
    expectWarning(/first/);
    console.warn('the first');
    console.warn('the %s', 'second');
  });

  it('throws for a warning that was not expected', () => {
    expectWarning(/known/);
    console.warn('a known one');
    console.warn('a known one');
    expect(() => checkWarnings()).to.throw(/^unexpected console.warn: a known one\n/);
  });

  it('throws for an expected warning that did not come', () => {
    expectWarning(/silence/);
    expect(() => checkWarnings()).to.throw('expected a console.warn like /silence/');
  });
});
