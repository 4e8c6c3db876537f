import {existsSync, readdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {estimateMemory} from '../../src/memory/estimate';
import {readConfigJson} from '../../src/llama/files/config_json';
import {runProgram} from '../../src/cli/program';
import {textDataset} from '../../src/llama';
import {loadBackend} from '../../tools/load_backend';
import {defaultBackend} from '../support/backends';
import {readFileSync} from 'node:fs';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, TextSink, terminal, type CliRun} from './run_cli';

interface Result {
  data: {format: {format: string}; examples: number; usable: number; problems: object[]};
  heldOut: {usable: number};
  example: {line: number; tokens: Array<{id: number; text: string; isLearned: boolean}>};
  lengths: Array<{maxLength: number; cut: number; dropped: number}>;
  bestMaxLength: number;
  maxLength: number;
  batchSize: number;
  steps: number;
  gamma: number;
  interval: number;
  blocks: Array<{block: string; probability: number; steps: number}>;
  memory: {total: number; weights: number; needed: number};
  disk: {min: number; max: number};
}

/** Questions whose answers are of many lengths. */
const problems = Array.from({length: 40}, (_, i) => ({
  question: `the cat ${i}?`,
  answer: 'it sat '.repeat(1 + (i % 4)) + `\n#### ${i}`,
}));

describe('tfjs-owlore finetune --dry-run', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let data: string;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('problems.jsonl', problems);
    // it must not need them
    rmSync(join(folder.model, 'model.safetensors'));
  });
  after(() => folder.remove());

  const argsOf = (args: readonly string[]): string[] => {
    const what = ['--model', folder.model, '--data', data, '--backend', defaultBackend];
    return ['finetune', ...what, '--dry-run', ...args];
  };
  const run = (...args: string[]): Promise<CliRun> => runCli(argsOf(args));
  const runJson = async (...args: string[]): Promise<Result> => {
    const {code, stdout, stderr} = await run(...args, '--json');
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout) as Result;
  };

  it('says what is trained on and what it takes, without weights and without a folder', async () => {
    const {numTensors} = tf.memory();
    const before = readdirSync(folder.path);
    const {code, stdout, stderr} = await run('--steps', '20', '--output', join(folder.path, 'run'));
    expect(code, stderr).to.equal(0);
    expect(stderr).to.include(
      `${data}: jsonl, 40 examples; prompt is 'question', answer is 'answer', as chat turns\n`,
    );
    expect(stdout).to.match(
      /^The example in line 2 of .*problems\.jsonl, in \d+ tokens\. The loss counts the \d+ in brackets:\n/,
    );
    expect(stdout).to.match(/\[####\]|\[#\]/);
    expect(stdout).to.match(/│ tokens, up to │ examples │ .* │ cut │ dropped │/);
    expect(stdout).to.match(/\nTake --max-length \d+, which is enough for \d+ of 38 examples.*\n$/);
    expect(stdout).to.match(
      /\nOf 3 blocks 2 train at a time, others after every 10 of 20 steps; each trains in 13\.3 of them on average, before the outlier scores /,
    );
    expect(stdout).to.match(/\nsteps +20, in batches of 16 × 64 tokens\n/);
    expect(stdout).to.match(/\nmemory +some .*\ntensors +.*: weights .*\ndisk +.* to .*\n/);
    expect(readdirSync(folder.path)).to.deep.equal(before);
    expect(tf.memory().numTensors).to.equal(numTensors);
  });

  it('marks the tokens that the loss counts', async () => {
    const {example} = await runJson();
    const {tokenizer} = folder;
    expect(example.line).to.equal(2);
    const {question, answer} = problems[1]!;
    const prompt = [{role: 'user', content: question}];
    const messages = [...prompt, {role: 'assistant', content: answer}];
    expect(example.tokens.map(({id}) => id)).to.deep.equal(tokenizer.applyChatTemplate(messages));
    expect(example.tokens.map(({text}) => text).join('')).to.equal(
      tokenizer.applyChatTemplate(messages, {tokenize: false}),
    );
    const from = tokenizer.applyChatTemplate(prompt, {addGenerationPrompt: true}).length;
    expect(example.tokens.map(({isLearned}) => isLearned)).to.deep.equal(
      example.tokens.map((_, i) => i >= from),
    );
    const stdout = terminal();
    const environment = {stdin: process.stdin, stdout, stderr: new TextSink(), loadBackend};
    expect(await runProgram(argsOf([]), environment)).to.equal(0);
    expect(stdout.text).to.include('\u001b[32m');
    expect(stdout.text).to.include('green ones');
  });

  it('counts what each length cuts and drops as the training does', async () => {
    const {lengths, bestMaxLength} = await runJson('--max-length', '30');
    expect(lengths.map(({maxLength}) => maxLength)).to.include.members([30, bestMaxLength]);
    for (const {maxLength, cut, dropped} of lengths) {
      const dataset = textDataset(data, folder.tokenizer, {
        maxLength,
        select: (i) => i !== 0 && i !== 20,
      });
      for await (const {xs, ys} of dataset) tf.dispose([xs, ys]);
      expect(dataset.report, String(maxLength)).to.deep.include({cut, dropped});
    }
    const best = lengths.find(({maxLength}) => maxLength === bestMaxLength)!;
    expect(best.cut + best.dropped).to.equal(0);
    const {stdout} = await run('--max-length', '30');
    expect(stdout).to.match(/ This run's 30 would cut \d+/);
  });

  it('has the steps, the memory and the disk of the run', async () => {
    const sizes = ['--batch-size', '4', '--max-length', '32', '--gamma', '1', '--rank', '4'];
    const result = await runJson(...sizes, '--epochs', '2');
    const dropped = result.lengths.find(({maxLength}) => maxLength === 32)!.dropped;
    expect(result.steps).to.equal(2 * Math.ceil((38 - dropped) / 4));
    const json = JSON.parse(readFileSync(join(folder.model, 'config.json'), 'utf8')) as object;
    readConfigJson('test', json as Record<string, unknown>);
    const {total, weights} = estimateMemory(json, {
      ...{method: 'owlore', gamma: 1, rank: 4, batchSize: 4, maxLength: 32},
      ...{backend: defaultBackend as 'tensorflow', embedding: 'full', frozenDtype: 'F32'},
      headInLoss: true,
    });
    expect(result.memory).to.include({total, weights});
    expect(result.disk.max).to.be.above(result.disk.min);
    expect(result.disk.min).to.be.above(weights);
  });

  it('says by a file of scores how often blocks will be on', async () => {
    const blocks = [0, 1, 2].map((i) => `model.layers.${i}`);
    const scores = folder.write('scores.json', JSON.stringify({blocks, scores: [1, 2, 1]}));
    const result = await runJson('--scores', scores, '--gamma', '1', '--steps', '40');
    expect(result.blocks).to.deep.equal(
      [0.25, 0.5, 0.25].map((probability, i) => ({
        block: blocks[i],
        probability,
        steps: 40 * probability,
      })),
    );
    const {stdout} = await run('--scores', scores, '--gamma', '1', '--steps', '40');
    expect(stdout).to.match(/│ model\.layers\.1 │ +0\.500 │ +20 │/);
    expect(stdout).not.to.include('outlier scores');
  });

  it('tells problems of the held-out part as such, and data that are held out and trained on', async () => {
    const wrong = folder.writeLines('wrong.jsonl', [{question: 'a'}, ...problems]);
    const {stderr} = await run('--data', wrong);
    expect(stderr).to.match(/wrong\.jsonl, held out: of \d+ examples 1 dropped\n/);
    const copy = folder.writeLines('copy.jsonl', problems);
    const same = await run('--validation', copy);
    expect(same.stderr).to.include(
      `${copy} has the same examples as ${data}: the held-out loss will be that of examples that were trained on\n`,
    );
  });

  it('says that a run does not fit, and is refused what the run is refused', async () => {
    const {code, stderr} = await run('--gamma', '4');
    expect(code).to.equal(2);
    expect(stderr).to.match(/--gamma must be <= 3, the blocks of the model; got 4/);
    const resumed = await run('--resume', folder.path);
    expect(resumed.code).to.equal(2);
    expect(existsSync(join(folder.path, 'run'))).to.equal(false);
    const {code: needed, stderr: said} = await runCli([
      ...['finetune', '--model', folder.model, '--data', data],
    ]);
    expect([needed, said]).to.deep.equal([
      2,
      'error: finetune: --output is missing: the folder that the run makes: its model, log and report\n',
    ]);
  });

  it('refuses what the engine of the run does not have', async () => {
    const {code, stderr} = await run('--engine', 'torch', '--method', 'lora');
    expect([code, stderr.split('\n').at(-2)]).to.deep.equal([
      2,
      'error: finetune: --engine torch does not have --method lora; use --engine tfjs, or one of owlore, owlore-full, lisa, lisa-d, galore, badam, full',
    ]);
  });

  it('refuses data that cannot be used, and rows that the model does not take', async () => {
    const wrong = folder.writeLines('none.jsonl', [{a: 1}, {a: 2}]);
    const {code, stderr} = await run('--data', wrong);
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /1 dropped, in line 2: an example needs .*; --fields takes other names; it has a\n/,
    );
    expect(stderr).to.match(/\nerror: finetune: .*none\.jsonl has no example that can be used\n$/);
    const long = await run('--max-length', '65');
    expect(long.code).to.equal(2);
    expect(long.stderr).to.match(/finetune: --max-length must be at most .*\(64\); got 65/);
  });

  it('takes texts, and rows that are packed', async () => {
    const notes = folder.write(
      'notes.txt',
      texts(30)
        .map(({text}) => text)
        .join('\n\n'),
    );
    const {stdout, stderr} = await run('--data', notes, '--packing', '--max-length', '32');
    expect(stderr).to.include(`${notes}: plain text, 30 examples, each a paragraph\n`);
    expect(stdout).to.include('With --packing, examples go on in the next row');
  });
});
