import {expect} from 'chai';
import {
  checkSelector,
  selectorFromConfig,
  selectorToConfig,
  selects,
  unmatched,
} from '../../src/model/variable_selector';
import type {VariableSelector} from '../../src/model/variable_selector';

describe('variable selector', () => {
  const kernel = {name: 'block_1/dense_a/kernel', shape: [3, 4]};

  it('picks by name, layer, pattern and function', () => {
    const picking: VariableSelector[] = [
      ['block_1/dense_a/kernel'],
      ['other', 'block_1'],
      ['block_1/dense_a'],
      /dense_\w\/kernel$/,
      /dense/g,
      /dense/y,
      /DENSE_A/gi,
      ({shape}) => shape.length === 2,
    ];
    for (const selector of picking) {
      // Twice: a pattern with the flag g remembers where it stopped.
      expect(selects(selector, kernel)).to.equal(true);
      expect(selects(selector, kernel)).to.equal(true);
    }
    for (const selector of [['block'], ['kernel'], /bias/, () => false] as VariableSelector[]) {
      expect(selects(selector, kernel)).to.equal(false);
    }
  });

  it('tells what picks nothing', () => {
    const variables = [kernel, {name: 'head/bias', shape: [2]}];
    for (const [selector, expected] of [
      [
        ['head', 'block', 'block_1/dense_a/kernel', 'bias'],
        [`'block'`, `'bias'`],
      ],
      [['head'], []],
      [/BIAS/i, []],
      [/BIAS/, ['/BIAS/']],
      [() => false, []],
      [[], []],
    ] as Array<[VariableSelector, string[]]>) {
      expect(unmatched(selector, variables)).to.deep.equal(expected);
    }
    expect(unmatched(['head'], [])).to.deep.equal([`'head'`]);
  });

  it('is a list of names, a pattern or a function, and nothing else', () => {
    for (const right of [[], ['a', 'b'], /a/, () => true]) {
      expect(() => checkSelector('Thing', 'project', right)).not.to.throw();
    }
    const what = 'an array of variable or layer names, a regular expression or a function; got ';
    for (const [wrong, shown] of [
      [['a', 1], '["a",1]'],
      [[/a/], '[{}]'],
      ['a', `'a'`],
      [{every: () => true}, '{}'],
      [null, 'null'],
      [true, 'true'],
    ] as Array<[unknown, string]>) {
      expect(() => checkSelector('Thing', 'project', wrong)).to.throw(
        `Thing: project must be ${what}${shown}`,
      );
      expect(() => checkSelector('Thing', 'project', wrong, `'auto', false`)).to.throw(
        `Thing: project must be 'auto', false, ${what}${shown}`,
      );
    }
  });

  it('comes back from a saved config without an underscore in it', () => {
    for (const selector of [/a_b\/(c|d)_1$/i, ['x_1/kernel', '100%']]) {
      const config = JSON.stringify(selectorToConfig('Thing', 'project', selector));
      expect(config).not.to.match(/_/);
      expect(selectorFromConfig(JSON.parse(config))).to.deep.equal(selector);
    }
    expect(() => selectorToConfig('Thing', 'project', () => true)).to.throw(
      'Thing: project is a function, which cannot be saved',
    );
  });
});
