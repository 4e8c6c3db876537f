import {expect} from 'chai';
import {checkCounters, variableOfSaved} from '../../../../src/owlore/optimizer/state/saved_names';

const counted = {iter: 3, 'owlore.accumulated': 0, 'owlore.skipped': 1};
const clocks = 'w/owlore.clocks';

describe('saved counters', () => {
  for (const more of [
    {},
    {'owlore.halvings': 2},
    {[clocks]: [1, 1, 0, 0]},
    {[clocks]: [0, 0, -1, 0], 'v/owlore.clocks': [1e9, 1e9, 1e9, 1e9]},
  ]) {
    it(`may be ${JSON.stringify(more)} after the first three`, () => {
      expect(() => checkCounters('here', {...counted, ...more})).not.to.throw();
    });
  }

  const first =
    /^here must be numbers by name, the first of which are iter, owlore.accumulated, owlore.skipped; got /;
  const one = (value: string): RegExp =>
    new RegExp(`^here: "iter" must be an integer from 0 to 1000000000; got ${value}$`);
  const variableError = (value: string): RegExp =>
    new RegExp(
      '^here: "w/owlore.clocks" must be four integers, the third from -1 and the others ' +
        `from 0 to 1000000000; got ${value}$`,
    );
  const {iter, ...withoutSteps} = counted;
  const cases: Array<[unknown, RegExp]> = [
    [null, first],
    [5, first],
    [[3, 0, 1], first],
    [{}, first],
    [withoutSteps, first],
    [{...withoutSteps, iter}, first],
    [{iter, 'owlore.skipped': 1, 'owlore.accumulated': 0}, first],
    [{...counted, iter: -1}, one('-1')],
    [{...counted, iter: 0.5}, one('0.5')],
    [{...counted, iter: 1e9 + 1}, one('1000000001')],
    [{...counted, iter: '3'}, one('"3"')],
    [{...counted, iter: [3]}, one('\\[3\\]')],
    [{...counted, 'owlore.halvings': -1}, /"owlore.halvings" must be an integer from 0/],
    [{...counted, 'owlore.other': 1}, /^here: "owlore.other" is no counter of this optimizer$/],
    [{...counted, [clocks]: 4}, variableError('4')],
    [{...counted, [clocks]: [1, 1, 0]}, variableError('\\[1,1,0\\]')],
    [{...counted, [clocks]: [1, 1, 0, 0, 0]}, variableError('\\[1,1,0,0,0\\]')],
    [{...counted, [clocks]: [-1, 1, 0, 0]}, variableError('\\[-1,1,0,0\\]')],
    [{...counted, [clocks]: [1, 1, -2, 0]}, variableError('\\[1,1,-2,0\\]')],
    [{...counted, [clocks]: [1, 1, 0, -1]}, variableError('\\[1,1,0,-1\\]')],
  ];
  for (const [counters, message] of cases) {
    it(`are refused: ${JSON.stringify(counters)}`, () => {
      expect(() => checkCounters('here', counters)).to.throw(message);
    });
  }
});

describe('the variable of a saved tensor', () => {
  for (const [name, variable] of [
    ['a/kernel/owlore.moment1', 'a/kernel'],
    ['a/kernel/owlore.projectedGradient', 'a/kernel'],
    ['a/kernel/owlore.clocks', 'a/kernel'],
    ['a/kernel/owlore.terms.shape', 'a/kernel'],
    ['a/kernel/owlore.terms.lookUps.ids', 'a/kernel'],
    ['a/owlore.moment1/owlore.basis', 'a/owlore.moment1'],
    ['iter', null],
    ['a/owlore.terms.shape/kernel', null],
    ['a/kernel', null],
  ] as const) {
    it(`'${name}' is ${variable}`, () => expect(variableOfSaved(name)).to.equal(variable));
  }
});
