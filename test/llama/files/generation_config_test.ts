import {expect} from 'chai';
import {forgetLines} from '../../../src/common/say_once';
import {readGenerationConfig} from '../../../src/llama/files/generation_config';
import {generateDefaults, samplingNames} from '../../../src/llama/generation/generate_options';
import {
  largestIndex,
  penalized,
  tokenProbabilities,
} from '../../../src/llama/generation/token_probabilities';
import {pick} from '../../../src/llama/pick';
import {readJson} from '../../support/fixtures';
import {captureWarnings} from '../../support/warnings';

interface Fixture {
  logits: number[];
  cases: Array<{file: object; ids: number[]; next?: number; probabilities?: number[]}>;
}

const read = (file: object | string, configJson: Record<string, unknown> = {}) =>
  readGenerationConfig(
    'test',
    new TextEncoder().encode(typeof file === 'string' ? file : JSON.stringify(file)),
    {configJson, vocabSize: 96},
  );

describe('generation_config.json', () => {
  beforeEach(() => forgetLines());

  const {logits, cases} = readJson<Fixture>('sampling/sampling');
  for (const {file, ids, next, probabilities} of cases) {
    it(`means what it means to transformers: ${JSON.stringify(file)}`, () => {
      const options = {...generateDefaults, ...read(file)};
      const sampling = pick(options, samplingNames);
      const scores = penalized(logits, new Set(ids), sampling.repetitionPenalty);
      if (probabilities) {
        const found = tokenProbabilities(scores, sampling);
        found.forEach((probability, id) =>
          expect(probability, `token ${id}`).to.be.closeTo(probabilities[id]!, 1e-9),
        );
      } else {
        expect(sampling.temperature).to.equal(0);
        expect(largestIndex(scores)).to.equal(next);
      }
    });
  }

  it('has the tokens that end a text, of config.json as well', () => {
    expect(read({eos_token_id: [5, 7, 5]}, {eos_token_id: 9}).stop).to.deep.equal([5, 7, 9]);
    expect(read({}, {eos_token_id: null}).stop).to.deep.equal([]);
    expect(readGenerationConfig('test', undefined, {configJson: {}, vocabSize: 9})).to.deep.equal({
      ...{temperature: 0, stop: []},
    });
  });

  for (const [file, message] of [
    [{do_sample: true, temperature: 'hot'}, /temperature must be a number >= 0; got 'hot'/],
    [{do_sample: 1}, /do_sample must be true or false; got 1/],
    [{do_sample: true, top_k: -1}, /top_k must be an integer >= 1; got -1/],
    [{do_sample: true, top_p: 7}, /top_p must be a number > 0 and <= 1; got 7/],
    [{min_p: [0.1]}, /min_p must be a number >= 0 and <= 1; got /],
    [{repetition_penalty: 0}, /repetition_penalty must be a number > 0; got 0/],
    [{eos_token_id: [3, 96]}, /eos_token_id must be an integer >= 0 and < 96; got 96/],
    ['[]', /generation_config\.json is not a JSON object/],
    ['{', /generation_config\.json is not JSON: /],
    ['{"top_k": 1, "top_k": 2}', /generation_config\.json has "top_k" twice/],
  ] as const) {
    it(`says that a value is left out: ${JSON.stringify(file)}`, () => {
      const warnings = captureWarnings(() => {
        const {stop, ...options} = read(file);
        const right = typeof file === 'object' && 'do_sample' in file && file.do_sample === true;
        expect(options).to.deep.equal(right ? {temperature: 1, topK: 50} : {temperature: 0});
        expect(stop).to.deep.equal(typeof file === 'object' && 'eos_token_id' in file ? [3] : []);
      });
      expect(warnings).to.have.length(1);
      expect(warnings[0])
        .to.match(/^test: generation_config\.json.*; it is left out$/)
        .and.match(message);
    });
  }
});
