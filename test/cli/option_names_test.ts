import {expect} from 'chai';
import {withFlags} from '../../src/cli/option_names';

describe('withFlags', () => {
  const names = ['tau', 'seed', 'maxLength', 'shots', 'shotsFrom', 'learningRate'];
  const flags = (message: string, given: Array<[string, string]> = []): string =>
    withFlags(message, 'evaluate', names, new Map(given));

  for (const [message, expected] of [
    ['textDataset: maxLength must be at most 64', 'evaluate: --max-length must be at most 64'],
    ['it has 80 tokens; maxLength is 64', 'it has 80 tokens; --max-length is 64'],
    ['mmlu: shots is 5, but shotsFrom has 2', 'evaluate: --shots is 5, but --shots-from has 2'],
    ["use a smaller tau, or tau: 'auto'", 'use a smaller tau, or --tau auto'],
    ['steps: 3, tau: 4.5e-1)', 'steps: 3, --tau 4.5e-1)'],
    [
      'GET URL has brought nothing for 60 s; try again, or wait longer with the option `request`: {timeout: milliseconds}',
      'GET URL has brought nothing for 60 s; try again',
    ],
    ['loadLlama: config.json: hidden_size is 0', 'config.json: hidden_size is 0'],
    ['train.jsonl: line 3', 'train.jsonl: line 3'],
    ["evaluate: --tau: 'auto' is one", "evaluate: --tau: 'auto' is one"],
    // words, and parts of other names
    ['no shots in the file, and no seed', 'no shots in the file, and no seed'],
    ['maxLengths and aMaxLength', 'maxLengths and aMaxLength'],
  ] as const) {
    it(`makes '${expected}'`, () => {
      expect(flags(message)).to.equal(expected);
      expect(flags(expected)).to.equal(expected);
    });
  }

  it('leaves the names that are in a config file', () => {
    const given: Array<[string, string]> = [['maxLength', 'run.json: maxLength']];
    expect(flags('textDataset: maxLength must be at most 64', given)).to.equal(
      'run.json: maxLength must be at most 64',
    );
    expect(flags('maxLength is 64, learningRate is 1', given)).to.equal(
      'maxLength is 64, --learning-rate is 1',
    );
  });
});
