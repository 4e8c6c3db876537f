import {expect} from 'chai';
import {selectorFromConfig, selectorToConfig, selects} from '../../src/model/variable_selector';
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
