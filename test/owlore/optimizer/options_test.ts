import {expect} from 'chai';
import {owloreOptions} from '../../../src/owlore/optimizer/options';

describe('options that pick variables', () => {
  const nameOf = (name: string): string => `new ${name}`;

  it('are given other names where they have names', () => {
    const {withNames} = owloreOptions.project;
    expect(withNames!(['a', {pattern: 'b'}, 'c'], nameOf)).to.deep.equal([
      ...['new a', {pattern: 'b'}, 'new c'],
    ]);
    for (const value of ['auto', false, {pattern: 'a'}, null])
      expect(withNames!(value, nameOf)).to.equal(value);
  });

  it('are given them in groups of learning rates, as a file may have them', () => {
    const {withNames} = owloreOptions.learningRates;
    const group = {learningRate: 0.1, variables: ['a']};
    expect(withNames!([group, null, 'a', {variables: 'a'}], nameOf)).to.deep.equal([
      ...[{learningRate: 0.1, variables: ['new a']}, null, 'a', {variables: 'a'}],
    ]);
    for (const value of [null, 'a', group]) expect(withNames!(value, nameOf)).to.equal(value);
  });
});
