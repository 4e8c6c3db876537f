import {expect} from 'chai';
import {checkAwaited, readScores, type ScoresInput} from '../../../src/owlore/scores/scores';

describe('readScores', () => {
  const read = (input: unknown) => readScores(input as ScoresInput, 'test');

  it('takes numbers, scores and ratios, each with the names of the blocks if there are any', () => {
    const blocks = ['a', 'b', 'c'];
    expect(read([1, 0, 2])).to.deep.equal({values: [1, 0, 2]});
    expect(read({scores: [1, 0, 2], kind: 'outlier'})).to.deep.equal({values: [1, 0, 2]});
    expect(read({scores: [1, 0, 2], blocks})).to.deep.equal({values: [1, 0, 2], blocks});
    expect(read({ratios: [1, 0, 2], blocks})).to.deep.equal({values: [1, 0, 2], blocks});
    expect(read({ratios: [3], scores: [4]})).to.deep.equal({values: [4]});
  });

  it('gives lists of its own', () => {
    const [scores, blocks] = [[1], ['a']];
    const result = read({scores, blocks});
    result.values.push(2);
    result.blocks!.push('b');
    read(scores).values.push(2);
    expect([scores, blocks]).to.deep.equal([[1], ['a']]);
  });

  const wrong: Array<[unknown, string]> = [
    ...[null, undefined, 5, 'scores', [], {}, {score: [1]}, {scores: []}].map(
      (input): [unknown, string] => [input, 'scores must be a non-empty array of numbers'],
    ),
    [{scores: 'ab'}, "one as 'scores' or 'ratios'; got"],
    [{ratios: {length: 1}}, "one as 'scores' or 'ratios'; got"],
    [[1, -0.5], 'every score must be a finite number >= 0; scores[1] is -0.5'],
    [{ratios: [NaN, 1]}, 'scores[0] is NaN'],
    [[1, 2, Infinity], 'scores[2] is Infinity'],
    [['1'], `scores[0] is '1'`],
    ...[null, 5, 'ab', [1, 2], ['a', 2], ['a', 'a'], ['a'], ['a', 'b', 'c'], {length: 2}].map(
      (blocks): [unknown, string] => [
        {scores: [1, 2], blocks},
        'blocks must name each of the 2 scores once; got',
      ],
    ),
    [Promise.resolve([1]), 'scores is a promise: await it'],
  ];
  for (const [input, message] of wrong) {
    it(`says what is wrong with ${input instanceof Promise ? 'a promise' : JSON.stringify(input)}`, () => {
      expect(() => read(input))
        .to.throw(/^test: /)
        .with.property('message')
        .that.includes(message);
    });
  }

  it('speaks for samplingProbabilities unless it is told for whom', () => {
    expect(() => readScores([])).to.throw(/^samplingProbabilities: /);
  });
});

describe('checkAwaited', () => {
  it('refuses a promise alone', () => {
    expect(() => checkAwaited('test', Promise.resolve([1]))).to.throw('test: scores is a promise');
    for (const scores of [[1], {scores: [1]}, null, undefined, 'auto'])
      checkAwaited('test', scores);
  });
});
