import {expect} from 'chai';
import {
  checkSamplingState,
  checkStateFits,
  type LayerSamplingState,
} from '../../../src/owlore/sampling/saved_state';
import type {SamplingProbabilities} from '../../../src/owlore/sampling/probabilities';
import {rejection} from '../../support/rejection';

const probabilities: SamplingProbabilities = {
  ...{blocks: ['a', 'b'], probabilities: [1, 0.5], shares: [0.75, 0.25], gamma: 1.5},
  ...{method: 'waterfill', floor: 0},
};

/** In the second of two periods of 3 steps. */
const right: LayerSamplingState = {
  ...{blocks: ['a', 'b', 'c'], probabilities, interval: 3, periods: [['a'], []]},
  ...{steps: 5, open: null},
};

/** Before a training, `initialStep` aside. */
const fresh = {...right, blocks: [], probabilities: null, interval: null, periods: [], steps: 7};

describe('the saved state of a callback', () => {
  it('has the form that getState gives it', () => {
    for (const state of [
      right,
      {...right, steps: 3},
      {...right, steps: 6},
      {...right, probabilities: null},
      {...right, probabilities: {...probabilities, gamma: 0, method: 'clip', floor: 1}},
      {...right, periods: [], steps: 0},
      {...right, interval: 1, steps: 1},
      {...right, open: {iterations: 4, accumulated: 0}},
      fresh,
      {...fresh, interval: 2, steps: 1e9},
    ]) {
      expect(() => checkSamplingState('test', state), JSON.stringify(state)).not.to.throw();
    }
  });

  const {floor: _, ...withoutFloor} = probabilities;
  const wrong: Array<[what: string, value: unknown, message: RegExp]> = [
    [
      'no object',
      null,
      /a state must be \{blocks, .*\}, as callback\.getState\(\) gives it; got null/,
    ],
    ['a list', [right], /a state must be/],
    ['a text', 'state', /a state must be .* got 'state'/],
    [
      'without blocks',
      {...right, blocks: undefined},
      /blocks must be a list of names, .* undefined/,
    ],
    ['blocks without names', {...right, blocks: ['a', 1]}, /blocks must be a list of names/],
    ['periods that are none', {...right, periods: 'ab'}, /periods must be a list of periods, /],
    [
      'a period that is none',
      {...right, periods: [['a'], 'b']},
      /periods\[1\] must be a list of nam/,
    ],
    [
      'a period of a number',
      {...right, periods: [['a'], [2]]},
      /periods\[1\] must be a list of nam/,
    ],
    [
      'a block of others',
      {...right, periods: [['a'], ['d']]},
      /periods\[1\] must be names .* got 'd'/,
    ],
    ['steps that are no integer', {...right, steps: 4.5}, /steps must be an integer/],
    ['negative steps', {...fresh, steps: -1}, /steps must be an integer >= 0 .* got -1/],
    ['too many steps', {...fresh, steps: 1e9 + 1}, /steps must be an integer .* got 1000000001/],
    [
      'too few steps',
      {...right, steps: 2},
      /steps of 2 periods of 3 must be .* >= 3 and <= 6; got 2/,
    ],
    ['steps of more periods', {...right, steps: 7}, />= 3 and <= 6; got 7/],
    ['steps of no period', {...right, periods: [], steps: 1}, />= 0 and <= 0; got 1/],
    ['no interval', {...right, interval: 0}, /interval must be an integer >= 1 .* got 0/],
    ['half an interval', {...fresh, interval: 0.5}, /interval must be an integer >= 1/],
    [
      'an interval of null with blocks',
      {...right, interval: null},
      /interval must be a number, with b/,
    ],
    [
      'an interval of null with as many periods as blocks',
      {...right, interval: null, periods: [['a'], ['b'], []]},
      /interval must be a number, with blocks/,
    ],
    ['periods without blocks', {...fresh, periods: [[]]}, /interval must be a number, with blocks/],
    [
      'without open',
      {...right, open: undefined},
      /open must be null, or \{iterations, accumulated\}, /,
    ],
    ['open is a list', {...right, open: []}, /open must be null/],
    [
      'open without calls',
      {...right, open: {iterations: 1}},
      /open\.accumulated must be an integer/,
    ],
    [
      'open of half a step',
      {...right, open: {iterations: 0.5, accumulated: 1}},
      /open\.iterations must be an integer >= 0/,
    ],
    [
      'probabilities that are a list',
      {...right, probabilities: [1]},
      /probabilities must be null, or/,
    ],
    ...(
      [
        [{...probabilities, blocks: undefined}, /probabilities\.blocks must be a list of names/],
        [
          {...probabilities, blocks: ['a', 'b', 'c']},
          /probabilities\.probabilities must be a number/,
        ],
        [
          {...probabilities, probabilities: [1, NaN]},
          /probabilities\.probabilities must be a number/,
        ],
        [
          {...probabilities, probabilities: [1, -1]},
          /probabilities\.probabilities must be a number/,
        ],
        [{...probabilities, shares: [1]}, /probabilities\.shares must be a number >= 0 for each/],
        [{...probabilities, shares: {length: 2}}, /probabilities\.shares must be a number >= 0/],
        [{...probabilities, gamma: -1}, /probabilities\.gamma must be a number >= 0; got -1/],
        [{...probabilities, method: 'cut'}, /probabilities\.method must be one of/],
        [
          {...probabilities, floor: 2},
          /probabilities\.floor must be a number >= 0 and <= 1; got 2/,
        ],
        [withoutFloor, /probabilities\.floor must be a number/],
      ] as const
    ).map(([value, message]): [string, unknown, RegExp] => [
      JSON.stringify(value),
      {...right, probabilities: value},
      message,
    ]),
  ];
  for (const [what, value, message] of wrong) {
    it(`is refused: ${what}`, async () => {
      const {message: said} = await rejection((async () => checkSamplingState('test', value))());
      expect(said).to.match(message);
    });
  }

  it('has the interval of the callback, if that has one', () => {
    expect(() => checkSamplingState('test', right, 3)).not.to.throw();
    expect(() => checkSamplingState('test', fresh, 4)).not.to.throw();
    expect(() => checkSamplingState('test', right, 4)).to.throw(
      "test: interval must be 4, the callback's, as callback.getState() gives it; got 3",
    );
  });

  it('is of a model with the same blocks in the same order, drawn with the same probabilities', () => {
    const {blocks} = right;
    checkStateFits(right, blocks, {...probabilities, gamma: 2, floor: 0.5, shares: [1, 1]});
    checkStateFits({...right, probabilities: null}, blocks, null);
    for (const others of [
      ['a', 'c', 'b'],
      ['a', 'b'],
      [...blocks, 'd'],
    ]) {
      expect(() => checkStateFits(right, others, probabilities)).to.throw(
        `the restored state is of a model with the blocks a, b, c; this one has ${others.join(', ')}`,
      );
    }
    const drawn = 'a: 1, b: 0.5';
    const {blocks: _names, ...nameless} = probabilities;
    for (const [own, shown] of [
      [null, 'null'],
      [{...probabilities, probabilities: [0.5, 1]}, 'a: 0.5, b: 1'],
      [{...probabilities, blocks: ['a', 'c']}, 'a: 1, c: 0.5'],
      [nameless, '0: 1, 1: 0.5'],
    ] as Array<[SamplingProbabilities | null, string]>) {
      expect(() => checkStateFits(right, blocks, own)).to.throw(
        `the restored state was drawn with the probabilities ${drawn}; those of this model are ${shown}. Freeze the same`,
      );
    }
    expect(() => checkStateFits({...right, probabilities: null}, blocks, probabilities)).to.throw(
      `drawn with the probabilities null; those of this model are ${drawn}`,
    );
  });
});
