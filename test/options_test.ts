import {expect} from 'chai';
import {checkChoice, checkKnown, checkNumber, display} from '../src/options';

describe('options', () => {
  it('names owner, option, value and range of a number', () => {
    const check = (value: unknown): void =>
      checkNumber('Thing', 'size', value, {min: 1, exclusiveMax: 5, integer: true});
    expect(() => check(1)).not.to.throw();
    for (const value of [0, 5, 1.5, NaN, '2', null, undefined]) {
      expect(() => check(value)).to.throw(
        `Thing: size must be an integer >= 1 and < 5; got ${display(value)}`,
      );
    }
    expect(() => checkNumber('Thing', 'size', Infinity)).to.throw('size must be a number; got');
  });

  it('names the choices', () => {
    expect(() => checkChoice('Thing', 'mode', 'c', ['a', 'b'])).to.throw(
      `Thing: mode must be one of 'a', 'b'; got 'c'`,
    );
  });

  it('names the nearest known option', () => {
    expect(() => checkKnown('Thing', {colour: 1}, ['size', 'color'])).to.throw(
      `Thing: unknown option 'colour'; did you mean 'color'? Known options: size, color`,
    );
    for (const value of [null, 3, []]) {
      expect(() => checkKnown('Thing', value, ['size'])).to.throw('options must be a plain object');
    }
  });

  it('shows values as one would write them', () => {
    expect(display('a')).to.equal(`'a'`);
    expect(display(/a/g)).to.equal('/a/g');
    expect(display([1, 'a'])).to.equal('[1,"a"]');
    expect(display(() => 1)).to.equal('a function');
    expect(display(undefined)).to.equal('undefined');
  });
});
