import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  blockInfluenceScores,
  outlierScores,
  relativeMagnitudeScores,
  type BlockScores,
} from '../../src/index';
import {loadLlama} from '../../src/llama';
import {defaultBackend, describeBackends, fastBackend} from '../support/backends';
import {copyWithNaN, createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

const blocks = ['model.layers.0', 'model.layers.1', 'model.layers.2'];

describeBackends('tfjs-owlore scores', (backend) => {
  let folder: ModelFolder;
  let data: string;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', texts(6));
  });
  after(() => folder.remove());

  const runJson = async (...args: string[]): Promise<BlockScores> => {
    const common = ['--model', folder.model, '--backend', backend, '--json'];
    const {numTensors} = tf.memory();
    const {code, stdout, stderr} = await runCli(['scores', ...common, ...args]);
    expect(code, stderr).to.equal(0);
    expect(tf.memory().numTensors).to.equal(numTensors);
    return JSON.parse(stdout) as BlockScores;
  };

  /** Rows of the file by the tokenizer alone, without padding, one a batch. */
  const rows = (): tf.Tensor[] =>
    texts(6).map(({text}) => {
      const ids = folder.tokenizer.encode(text);
      return tf.tensor2d([ids], [1, ids.length], 'int32');
    });

  const expectClose = (actual: readonly number[], expected: readonly number[]): void => {
    expect(actual.length).to.equal(expected.length);
    actual.forEach((score, i) => expect(score).to.be.closeTo(expected[i]!, 1e-5));
  };

  it('counts outliers, over texts and not over padding', async () => {
    const {model} = await loadLlama(folder.model);
    const inputs = rows();
    const expected = await outlierScores(model, inputs, {tau: 2});
    tf.dispose(inputs);
    model.dispose();
    const {kind, scores, ...result} = await runJson('--data', data, '--tau', '2');
    expect(kind).to.equal('outlier');
    expect(result).to.deep.equal({
      ...{tau: 2, granularity: 'block', blocks, counts: expected.counts, sizes: expected.sizes},
    });
    expectClose(scores, expected.scores);
  });

  it('computes block influence and relative magnitude', async () => {
    const {model} = await loadLlama(folder.model);
    const inputs = rows();
    const influence = await blockInfluenceScores(model, inputs);
    const magnitude = await relativeMagnitudeScores(model);
    tf.dispose(inputs);
    model.dispose();
    expectClose(
      (await runJson('--kind', 'blockInfluence', '--data', data)).scores,
      influence.scores,
    );
    expectClose((await runJson('--kind', 'relativeMagnitude')).scores, magnitude.scores);
  });
});

describe('tfjs-owlore scores', () => {
  let folder: ModelFolder;
  let data: string;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', [...texts(5), {txt: 1}, ...texts(1)]);
  });
  after(() => folder.remove());

  const run = (...args: string[]) =>
    runCli(['scores', '--model', folder.model, '--backend', defaultBackend, ...args]);

  it('has none of a model with weights that are not finite, exit code 1', async () => {
    const model = copyWithNaN(folder);
    const [data, output] = [
      folder.writeLines('nan.jsonl', texts(8)),
      join(folder.path, 'nan.json'),
    ];
    for (const kind of ['relativeMagnitude', 'blockInfluence']) {
      const given = kind === 'relativeMagnitude' ? [] : ['--data', data, '--max-length', '12'];
      const {code, stdout, stderr} = await runCli([
        ...['scores', '--model', model, '--backend', fastBackend, '--kind', kind, ...given],
        ...['--output', output],
      ]);
      expect([code, stdout]).to.deep.equal([1, '']);
      expect(stderr, kind).to.match(/error: .*'model\.layers\.1.*finite/);
      expect(existsSync(output)).to.equal(false);
    }
  });

  it('draws a bar for each block, and says what was left out of the data', async () => {
    const {code, stdout, stderr} = await run('--data', data, '--batch-size', '4');
    expect(code).to.equal(0);
    expect(stdout).to.match(/^Outliers are above \d+ times the mean of their block\.\n/);
    for (const block of blocks) {
      expect(stdout).to.match(new RegExp(`│ ${block} │ +\\d+\\.\\d{4} % │ [█░]{12} │`));
    }
    expect(stdout).to.include('█'.repeat(12));
    expect(stderr).to.include(`${data}: of 7 examples 1 dropped\n  1 dropped, in line 6: `);
    expect(stderr).to.include(`${data}: it has no more than 2 batches\n`);
  });

  it('takes as many batches as it is asked for', async () => {
    const args = ['--data', data, '--batch-size', '2', '--tau', '2', '--json'];
    const scoresOf = async (batches: string) =>
      (JSON.parse((await run(...args, '--batches', batches)).stdout) as BlockScores).scores;
    const [one, two, all] = [await scoresOf('1'), await scoresOf('2'), await scoresOf('8')];
    expect(one).not.to.deep.equal(two);
    expect(two).not.to.deep.equal(all);
    expect((await run(...args, '--batches', '2')).stderr).not.to.include('no more than');
  });

  it('takes other texts for another seed', async () => {
    const args = ['--data', data, '--batch-size', '1', '--batches', '1', '--tau', '2', '--json'];
    const scoresOf = async (seed: string) =>
      (JSON.parse((await run(...args, '--seed', seed)).stdout) as BlockScores).scores;
    const drawn: number[][] = [];
    for (const seed of ['0', '1', '2', '3', '4']) drawn.push(await scoresOf(seed));
    expect(new Set(drawn.map(String)).size).to.be.greaterThan(1);
    expect(await scoresOf('0')).to.deep.equal(drawn[0]);
  });

  it('names what is wrong with the data once, by the first of its lines', async () => {
    const lines = [...texts(1), ...Array.from({length: 5}, () => ({no: 1}))];
    const {stderr} = await run('--data', folder.writeLines('shuffled.jsonl', lines));
    expect(stderr).to.match(
      /\n {2}5 dropped, the first in line 2: an example needs .*; it has no\n/,
    );
    expect(stderr.match(/an example needs/g)).to.have.length(1);
  });

  it('writes them to a file, as --json prints them', async () => {
    const output = join(folder.path, 'scores.json');
    const {stdout, stderr} = await run('--kind', 'relativeMagnitude', '--output', output, '--json');
    expect(JSON.parse(readFileSync(output, 'utf8'))).to.deep.equal(JSON.parse(stdout));
    expect(stderr).to.match(/Scores: .*scores\.json\n$/);
    if (!existsSync('/dev/full')) return;
    const full = await run('--kind', 'relativeMagnitude', '--output', '/dev/full');
    expect(full.code).to.equal(1);
    expect(full.stderr).to.match(
      /\nerror: scores: '\/dev\/full' cannot be written: ENOSPC.*; make room there, or name another file as --output\n$/,
    );
  });

  for (const [args, message] of [
    [[], /--kind outlier needs --data, a file of texts/],
    [['--kind', 'blockInfluence'], /--kind blockInfluence needs --data/],
    [['--kind', 'relativeMagnitude', '--batches', '2'], /--batches has no meaning with --kind rel/],
    [['--kind', 'relativeMagnitude', '--tau', '2'], /--tau has no meaning with --kind rel/],
    [['--kind', 'blockInfluence', '--tau', '2'], /--tau has no meaning with --kind blockInf/],
    [['--output', 'no/such/scores.json'], /--output: there is no folder 'no\/such'/],
    [['--data', 'none.jsonl'], /--data: there is no file 'none\.jsonl'/],
  ] as const) {
    it(`refuses '${args.join(' ')}'`, async () => {
      const {code, stdout, stderr} = await run(...args);
      expect([code, stdout]).to.deep.equal([2, '']);
      expect(stderr).to.match(message);
    });
  }

  it('leaves no model behind if it fails', async () => {
    const {numTensors} = tf.memory();
    const {code, stderr} = await run('--data', data, '--max-length', '65');
    expect(code).to.equal(1);
    expect(stderr).to.match(/scores: --max-length must be at most .*\(64\); got 65/);
    expect(tf.memory().numTensors).to.equal(numTensors);
  });

  it('says that no example can be used, with their lines', async () => {
    const wrong = folder.write('wrong.jsonl', '{"text": "the cat"\n\n{"txt": "the cat"}\n');
    const {code, stderr} = await run('--data', wrong);
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /^error: .*wrong\.jsonl has no example that can be used: 1 dropped, in line 1/,
    );
    expect(stderr).to.include('line 1: it is not JSON').and.include('line 3: an example needs');
  });
});
