import {createHash} from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {backends, fastBackend, itAtLength, thorough} from '../support/backends';
import {resultOf, runProgram, startProgram} from '../support/programs';
import {inLog, start} from './cli_process';
import {loadLlama, loadTokenizer, perplexity, textDataset} from '../../src/llama';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, type CliRun} from './run_cli';

/** What a run has left that must be the same whether it was stopped or not: all but times and bytes. */
function remains(
  output: string,
): Record<'blockHistory' | 'adapter', string | null> & {log: unknown[]; model: string} {
  const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  const blockHistory = join(output, 'block-history.json');
  const adapter = join(output, 'adapter', 'adapter_model.safetensors');
  return {
    log: lines.map((line) => {
      const {seconds: _, peakBytes: __, ...entry} = JSON.parse(line) as Record<string, unknown>;
      return entry;
    }),
    blockHistory: existsSync(blockHistory) ? readFileSync(blockHistory, 'utf8') : null,
    adapter: existsSync(adapter) ? readFileSync(adapter, 'latin1') : null,
    model: readFileSync(join(output, 'model', 'model.safetensors'), 'latin1'),
  };
}

/** The steps for which the files of a folder have a number under a name: records of TensorFlow with an `Event` of protobuf each. */
function stepsWithEvents(folder: string, name: string): number[] {
  return readdirSync(folder)
    .sort()
    .flatMap((file) => {
      const bytes = readFileSync(join(folder, file));
      const steps: number[] = [];
      // a record: its length, a checksum, the event, a checksum
      for (let at = 0; at < bytes.length;) {
        const length = Number(bytes.readBigUInt64LE(at));
        const event = bytes.subarray(at + 12, at + 12 + length);
        // field 1 is the time, a double; field 2 the step, which is below 128 here
        if (event.includes(name)) steps.push(event[9] === 0x10 ? event[10]! : 0);
        at += 16 + length;
      }
      return steps;
    });
}

/** Options that keep something of their own from step to step; `npx tsx scripts/test_resume.ts` stops trainings with each of them. */
const ownStates: Record<string, readonly string[]> = {
  'Fira, rotated moments, low-rank embedding, rates of groups': [
    ...['--update', 'fira', '--moments', 'rotate', '--refresh-interval', '2', '--accumulate', '2'],
    ...['--embedding', 'low-rank', '--embedding-rate', '0.1'],
    ...['--clip-norm', '0.5', '--rank', '4', '--interval', '3'],
  ],
  APOLLO: [
    ...['--update', 'apollo', '--refresh-interval', '2', '--rank', '4'],
    ...['--interval', '2'],
  ],
  'APOLLO-Mini': [
    ...['--update', 'apollo-mini', '--refresh-interval', '2', '--rank', '1'],
    ...['--interval', '2'],
  ],
  'GaLore, exact bases': [
    ...['--method', 'galore', '--rank', '4', '--basis', 'svd', '--refresh-interval', '1'],
  ],
  '16 bits': [...['--interval', '2', '--frozen-dtype', 'BF16', '--rank', '4']],
  'LoRA with dropout, some matrices, 16 bits': [
    ...['--method', 'lora', '--rank', '2', '--lora-dropout', '0.2', '--targets', 'q_proj,v_proj'],
    ...['--frozen-dtype', 'BF16'],
  ],
};

describe('tfjs-owlore finetune --resume', function () {
  this.timeout(300_000);
  let folder: ModelFolder;
  let data: string;
  let count = 0;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', texts(30));
  });
  after(() => folder.remove());

  const newOutput = (): string => join(folder.path, `run${count++}`);

  const argsOf = (output: string, ...more: string[]): string[] => [
    ...['finetune', '--backend', fastBackend, '--model', folder.model, '--data', data],
    ...['--output', output, '--max-length', '12', '--batch-size', '4', '--learning-rate', '0.01'],
    ...more,
  ];

  const resume = (output: string, ...more: string[]): Promise<CliRun> =>
    runCli(['finetune', '--resume', output, ...more]);

  /** Starts a run, and ends it by a signal when its log has a text. */
  async function stopped(
    output: string,
    args: readonly string[],
    {at, signal}: {at: string; signal: NodeJS.Signals},
    log = output,
  ): Promise<void> {
    const child = start(argsOf(output, ...args));
    const closed = resultOf(child);
    await inLog(closed, log, at);
    child.kill(signal);
    const {code, stderr} = await closed;
    expect(code, stderr).not.to.equal(0);
  }

  for (const [title, steps, args, signals] of [
    [
      'OwLore, stopped twice in accumulated steps',
      40,
      ['--accumulate', '3', '--interval', '3', '--rank', '4', '--refresh-interval', '5'],
      ['SIGINT', 'SIGTERM'],
    ],
    [
      'OwLore, killed, from the last of its checkpoints',
      60,
      ['--save-every', '3', '--interval', '2', '--rank', '4', '--evaluate-every', '4'],
      ['SIGKILL', 'SIGKILL'],
    ],
    [
      'LoRA with dropout, stopped in an accumulated step',
      14,
      ['--method', 'lora', '--rank', '2', '--lora-dropout', '0.2', '--accumulate', '2'],
      ['SIGINT'],
    ],
    [
      'full fine-tuning, packed, clipped, with warmup',
      50,
      [...['--method', 'full', '--packing', '--warmup', '9'], ...['--clip-norm', '0.5']],
      ['SIGHUP'],
    ],
  ] as const) {
    if (!thorough && !title.startsWith('OwLore, stopped')) continue;
    it(`ends as if it had not been stopped: ${title}`, () =>
      thorough ? expectSame(steps, args, signals) : expectSame(15, args, signals.slice(0, 1)));
  }

  // so fast, and on such other texts, that the held-out loss rises again
  const keepsBest = ['--learning-rate', '0.03', '--evaluate-every', '2', '--seed', '1'];
  const others = ['on the mat sat a dog', 'the mat on the cat 7', 'a cat on a dog'];
  for (const [title, args] of [
    ['the best model', ['--keep-best', '--interval', '2', '--rank', '4']],
    ['the best model, and ends early', ['--keep-best', '4', '--method', 'full']],
    ['the best adapters', ['--keep-best', '--method', 'lora', '--rank', '2']],
    ['the best of 16 bits', ['--keep-best', '--interval', '2', '--frozen-dtype', 'BF16']],
  ] as const) {
    if (!thorough) continue;
    it(`keeps ${title} as if it had not been killed`, async () => {
      const validation = folder.writeLines(
        'others.jsonl',
        others.map((text) => ({text})),
      );
      const how = ['--steps', '40', '--save-every', '3', '--validation', validation];
      const all = [...how, ...keepsBest, ...args];
      const whole = newOutput();
      const {code, stdout, stderr} = await runCli(argsOf(whole, ...all, '--json'));
      expect(code, stderr).to.equal(0);
      const {savedStep, steps, heldOutLoss} = JSON.parse(stdout) as {
        savedStep: number;
        steps: number;
        heldOutLoss: {before: number; after: number};
      };
      const {log} = remains(whole);
      const losses = (log as Array<{event: string; step: number; loss: number}>).filter(
        ({event, step}) => event === 'heldOut' && step > 0,
      );
      const lowest = Math.min(...losses.map(({loss}) => loss));
      const best = losses.find(({loss}) => loss === lowest)!;
      expect([savedStep, heldOutLoss.after]).to.deep.equal([best.step, lowest]);
      expect(savedStep).to.be.below(steps);
      expect(log.at(-2)).to.deep.equal({event: 'saved', step: savedStep, loss: lowest});
      // the saved model is the one that was measured
      const tokenizer = await loadTokenizer(folder.model);
      const {model, config} = await loadLlama(join(whole, 'model'));
      const heldOut = textDataset(validation, tokenizer, {
        ...{maxLength: 12, batchSize: 4, shuffle: false, config},
      });
      expect((await perplexity(model, heldOut)).loss).to.be.closeTo(lowest, 1e-5);
      model.dispose();

      // killed before and after the best step
      const output = newOutput();
      const at = (step: number): string => `"step":${step},"loss"`;
      expect(savedStep).to.be.within(4, steps - 6);
      await stopped(output, all, {at: at(savedStep - 1), signal: 'SIGKILL'});
      const child = start(['finetune', '--resume', output]);
      const closed = resultOf(child);
      await inLog(closed, output, at(savedStep + 5));
      child.kill('SIGKILL');
      await closed;
      const resumed = await resume(output);
      expect(resumed.code, resumed.stderr).to.equal(0);
      expect(remains(output)).to.deep.equal(remains(whole));
      expect(readdirSync(output).sort()).to.deep.equal(readdirSync(whole).sort());
    });
  }

  /** Compares a run that each signal stops once with one that is not stopped. */
  async function expectSame(
    steps: number,
    args: readonly string[],
    signals: readonly NodeJS.Signals[],
  ): Promise<void> {
    const whole = newOutput();
    const all = ['--steps', String(steps), ...args];
    const {code, stderr} = await runCli(argsOf(whole, ...all));
    expect(code, stderr).to.equal(0);

    const output = newOutput();
    await stopped(output, all, {at: '"step":7,"loss"', signal: signals[0]!});
    expect(existsSync(join(output, 'model'))).to.equal(false);
    for (const signal of signals.slice(1)) {
      const child = start(['finetune', '--resume', output]);
      const closed = resultOf(child);
      await inLog(closed, output, '"step":18,"loss"');
      child.kill(signal);
      await closed;
    }
    const resumed = await resume(output);
    expect(resumed.code, resumed.stderr).to.equal(0);
    expect(resumed.stderr).to.match(/: the run goes on from step [1-9]\d*\n/);
    expect(remains(output)).to.deep.equal(remains(whole));
    expect(readdirSync(output).sort()).to.deep.equal(readdirSync(whole).sort());
  }

  const isLong = process.env.OWLORE_FUZZ_RUNS !== undefined;
  for (const [title, args] of isLong ? Object.entries(ownStates) : []) {
    it(`has an exact resume: ${title}`, () =>
      expectSame(60, [...args, '--save-every', '3'], ['SIGKILL', 'SIGKILL']));
    if (!backends.includes('tensorflow')) continue;
    it(`has an exact resume on tensorflow: ${title}`, () =>
      expectSameOnTensorflow([...args, '--matmul-precision', 'medium']));
  }

  // Each run in a process of its own: there, kernels run op by op at first and later as graphs, which round in another way.
  (backends.includes('tensorflow') ? it : it.skip)(
    'ends as if it had not been stopped: on tensorflow, killed before and after kernels became graphs',
    () => expectSameOnTensorflow(['--interval', '2', '--rank', '4']),
  );

  async function expectSameOnTensorflow(own: readonly string[]): Promise<void> {
    const args = (output: string): string[] => [
      ...argsOf(output, '--steps', '44', '--save-every', '3', ...own),
      ...['--evaluate-every', '5', '--backend', 'tensorflow'],
    ];
    const program = 'test/cli/main_with_any_backend';
    const whole = newOutput();
    const {code, stderr} = await runProgram(program, args(whole));
    expect(code, stderr).to.equal(0);
    const output = newOutput();
    for (const step of [5, 14, 30]) {
      const child = startProgram(
        program,
        step === 5 ? args(output) : ['finetune', '--resume', output],
      );
      const closed = resultOf(child);
      await inLog(closed, output, `"step":${step},"loss"`);
      child.kill('SIGKILL');
      await closed;
    }
    const resumed = await runProgram(program, ['finetune', '--resume', output]);
    expect(resumed.code, resumed.stderr).to.equal(0);
    expect(resumed.stderr).not.to.include('not bit by bit');
    expect(remains(output)).to.deep.equal(remains(whole));
  }

  (backends.includes('tensorflow') ? it : it.skip)(
    'has each step once in the events for TensorBoard, also those after the last checkpoint',
    async () => {
      const program = 'test/cli/main_with_any_backend';
      const output = newOutput();
      const args = ['--steps', '12', '--save-every', '5', '--backend', 'tensorflow'];
      const child = startProgram(program, argsOf(output, ...args));
      const closed = resultOf(child);
      await inLog(closed, output, '"step":8,"loss"');
      child.kill('SIGKILL');
      await closed;
      const {code, stderr} = await runProgram(program, ['finetune', '--resume', output]);
      expect(code, stderr).to.equal(0);
      expect(stderr).to.include('the run goes on from step 5');
      const steps = Array.from({length: 12}, (_, i) => i + 1);
      expect(stepsWithEvents(join(output, 'tensorboard'), 'loss/train')).to.deep.equal(steps);
    },
  );

  itAtLength('begins a run anew that was killed before its first checkpoint', async () => {
    const whole = newOutput();
    const {code} = await runCli(argsOf(whole, '--steps', '30'));
    expect(code).to.equal(0);
    const output = newOutput();
    await stopped(output, ['--steps', '30'], {at: '"step":2,"loss"', signal: 'SIGKILL'});
    // who gives the same command again is told of the run
    const again = await runCli(argsOf(output, '--steps', '30'));
    expect([again.code, again.stderr.split('\n').at(-2)]).to.deep.equal([
      2,
      `error: finetune: --output: the folder '${output}' has a run that was stopped; finetune --resume ${output} goes on with it, and --overwrite replaces it`,
    ]);
    const {stderr} = await resume(output);
    expect(stderr).to.include('the run goes on from its beginning, for it has no checkpoint');
    expect(remains(output)).to.deep.equal(remains(whole));
  });

  itAtLength('computes the scores of a run anew that begins anew with other data', async () => {
    const args = ['--steps', '30', '--save-every', '1000', '--scores', 'outlier', '--tau', '2'];
    const output = newOutput();
    await stopped(output, args, {at: '"step":2,"loss"', signal: 'SIGKILL'});
    expect(existsSync(join(output, 'checkpoints'))).to.equal(false);
    const file = join(output, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    const other = folder.writeLines('other.jsonl', texts(50).slice(20));
    writeFileSync(file, JSON.stringify({...config, data: other}));
    const {code, stderr} = await resume(output);
    expect(code, stderr).to.equal(0);
    const whole = newOutput();
    expect((await runCli(argsOf(whole, ...args, '--data', other))).code).to.equal(0);
    const scores = (run: string): string => readFileSync(join(run, 'scores.json'), 'utf8');
    expect(scores(output)).to.equal(scores(whole));
  });

  itAtLength('goes on with a run that will replace an earlier one', async () => {
    const [whole, output] = [newOutput(), newOutput()];
    expect((await runCli(argsOf(whole, '--steps', '40'))).code).to.equal(0);
    expect((await runCli(argsOf(output, '--steps', '1'))).code).to.equal(0);
    const args = ['--steps', '40', '--overwrite'];
    const at = {at: '"step":5,"loss"', signal: 'SIGINT'} as const;
    await stopped(output, args, at, join(output, 'unfinished'));
    const {code, stderr} = await resume(output);
    expect(code, stderr).to.equal(0);
    expect(stderr).to.match(/: the run goes on from step [1-9]\d*\n/);
    expect(readdirSync(output).sort()).to.deep.equal(readdirSync(whole).sort());
    expect(remains(output)).to.deep.equal(remains(whole));
  });

  for (const method of ['owlore', 'lora']) {
    it(`saves a model that could not be saved, and trains no step again: ${method}`, async () => {
      // so far goes the first step, and 65504 is the largest number of 16 bits
      const args = ['--method', method, '--steps', '1', '--rank', '2', '--learning-rate', '1e5'];
      const [output, whole] = [newOutput(), newOutput()];
      const {numTensors} = tf.memory();
      const failed = await runCli(argsOf(output, ...args, '--dtype', 'F16'));
      expect(failed.code).to.equal(1);
      expect(failed.stderr).to.match(/to save its model: finetune --resume .*\nerror: .*F16/);
      const {code, stderr} = await resume(output, '--dtype', 'F32');
      expect(code, stderr).to.equal(0);
      expect(stderr).to.include('the run goes on from step 1\n');
      expect((await runCli(argsOf(whole, ...args))).code).to.equal(0);
      expect(remains(output)).to.deep.equal(remains(whole));
      expect(readdirSync(output).sort()).to.deep.equal(readdirSync(whole).sort());
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  describe('of a run that was stopped', () => {
    let output: string;
    before(async () => {
      output = newOutput();
      await stopped(output, ['--steps', '1000'], {at: '"step":3,"loss"', signal: 'SIGINT'});
    });

    /** A copy of its folder. */
    const copy = (): string => {
      const other = newOutput();
      cpSync(output, other, {recursive: true});
      return other;
    };

    it('takes no other options', async () => {
      const {code, stderr} = await resume(output, '--steps', '5');
      expect(code).to.equal(2);
      expect(stderr).to.match(/finetune: --steps has no meaning with --resume/);
      const config = ['--config', join(output, 'config.json')];
      expect((await resume(output, ...config)).stderr).to.match(/--config has no meaning/);
    });

    it('goes on in a folder that is called as options are', async () => {
      const named = join(folder.path, 'sweep--steps-1000--rank-128');
      cpSync(output, named, {recursive: true});
      const config = join(named, 'config.json');
      const options = JSON.parse(readFileSync(config, 'utf8')) as object;
      // refused once the options are understood, so that no test waits for a thousand steps
      writeFileSync(config, JSON.stringify({...options, refreshInterval: 77}));
      const {code, stderr} = await resume(named);
      expect(code).to.equal(2);
      expect(stderr).to.match(/other options: refreshInterval .*77/);
    });

    it('says what a folder lacks', async () => {
      const {code, stderr} = await resume(folder.model);
      expect(code).to.equal(2);
      expect(stderr).to.match(/config\.json: unknown option/);
      const other = await resume(folder.path);
      expect(other.code).to.equal(2);
      expect(other.stderr).to.match(
        /^error: finetune: --resume: the folder '.*' has no config\.json, .*; name another one, or begin a run, with --output\n$/,
      );
    });

    it('refuses a config with other options than its checkpoint, and opens no weights for that', async () => {
      const other = copy();
      const file = join(other, 'config.json');
      const config = JSON.parse(readFileSync(file, 'utf8')) as object;
      const model = join(folder.path, 'without weights');
      cpSync(folder.model, model, {recursive: true});
      rmSync(join(model, 'model.safetensors'));
      for (const [changed, message] of [
        [{refreshInterval: 77}, /had other options: refreshInterval was \d+ and is 77; give its/],
        [{rank: 3}, /: rank was \d+ and is 3; give its config\.json those of then$/],
        [{clipNorm: 7, seed: 77}, /: seed was \d+ and is 77; clipNorm was not given and is 7;/],
        [{embeddingRate: 3}, /embeddingRate was 1 and is 3;/],
        [{batchSize: 1e9}, /options: batchSize was \d+ and is 1000000000;/],
        [{maxLength: 7}, /options: maxLength was 12 and is 7;/],
        [{interval: 77}, /interval was \d+ and is 77;/],
        [{frozenDtype: 'BF16'}, /frozenDtype was "F32" and is "BF16";/],
        [{embedding: 'frozen', embeddingRate: null}, /embedding was "full" and is "frozen";/],
        [{learningRate: 0.02}, /learningRate was 0\.01 and is 0\.02;.*train for longer/],
        [{}, /without weights has neither model\.safetensors nor/],
      ] as const) {
        writeFileSync(file, JSON.stringify({...config, model, ...changed}));
        const {code, stderr} = await resume(other);
        expect(stderr.trim().split('\n').at(-1), JSON.stringify(changed)).to.match(message);
        expect(code).to.be.within(1, 2);
      }
    });

    it('refuses a config by which the learning rate would be another one, and says how to train for longer', async () => {
      const other = copy();
      const file = join(other, 'config.json');
      const config = JSON.parse(readFileSync(file, 'utf8')) as object;
      const log = readFileSync(join(other, 'log.jsonl'), 'utf8');
      for (const [changed, told] of [
        [{steps: 2}, 'steps was 1000 and is 2;'],
        [{steps: 2000}, 'steps was 1000 and is 2000;'],
        [{learningRate: 0.02}, 'learningRate was 0.01 and is 0.02;'],
        [{schedule: 'cosine'}, 'schedule was "linear" and is "cosine";'],
        [{warmup: 3}, 'warmup was 0 and is 3;'],
      ] as const) {
        writeFileSync(file, JSON.stringify({...config, ...changed}));
        const {code, stderr} = await resume(other);
        expect(code, stderr).to.equal(2);
        expect(stderr).to.include(told);
        expect(stderr).to.match(
          /give its config\.json those of then\. To train for longer, .*--model .*model\n$/,
        );
      }
      expect(readFileSync(join(other, 'log.jsonl'), 'utf8')).to.include(log);
    });

    describe('with other data', () => {
      const words = (given: object[]): object[] =>
        given.map((each) => JSON.parse(JSON.stringify(each).replace('cat', 'dog')) as object);
      const all = texts(30);
      const other = (lines: readonly object[]): object => ({
        data: folder.writeLines(`other${count++}.jsonl`, lines),
      });
      const validation = (lines: readonly object[]): object => ({
        ...{validation: folder.writeLines(`other${count++}.jsonl`, lines)},
        validationSplit: undefined,
      });

      /** Goes on with a changed config, which is refused later if nothing is wrong with the data. */
      async function resumeWith(changed: object, ...args: string[]): Promise<CliRun> {
        const run = copy();
        const file = join(run, 'config.json');
        const config = JSON.parse(readFileSync(file, 'utf8')) as object;
        writeFileSync(file, JSON.stringify({...config, ...changed, steps: 999}));
        return resume(run, ...args);
      }
      const laterError = /error: .*other options: steps was 1000 and is 999;/;

      for (const [what, changed, message] of [
        ['words replaced', () => other(words(all)), /has 30 examples as then, but others, or/],
        ['one word replaced', () => other([...all.slice(1), {text: 'x'}]), /as then, but others/],
        ['reversed', () => other([...all].reverse()), /as then, but others, or in another order/],
        ['halved', () => other(all.slice(15)), /other\d+\.jsonl had 30 examples, and has 15;/],
        ['a line more', () => other([...all, {text: 'x'}]), /had 30 examples, and has 31;/],
        [
          'another split',
          () => ({validationSplit: 0.2}),
          /other data: held out was a part of 0.05 of the data, and is a part of 0.2 of the data;/,
        ],
        ['held out elsewhere', () => validation(all), /a part of 0.05 of the data, and is a file;/],
      ] as const) {
        it(`refuses it, and says what has changed: ${what}`, async () => {
          const {code, stderr} = await resumeWith(changed());
          expect(code, stderr).to.equal(2);
          expect(stderr).to.match(/^error: finetune: the run in .* had other data: /m);
          expect(stderr)
            .to.match(message)
            .and.match(/give it those of then, or go on with --force$/m);
        });
      }

      it('refuses the same words in other tokens, of another tokenizer', async () => {
        const model = join(folder.path, 'other-tokenizer');
        cpSync(folder.model, model, {recursive: true});
        const file = join(model, 'tokenizer.json');
        const json = JSON.parse(readFileSync(file, 'utf8')) as {
          model: {vocab: Record<string, number>};
        };
        const {vocab} = json.model;
        const letters = Object.keys(vocab).filter((token) => /^[a-z]$/.test(token));
        const ids = letters.map((letter) => vocab[letter]!).reverse();
        letters.forEach((letter, i) => (vocab[letter] = ids[i]!));
        writeFileSync(file, JSON.stringify(json));
        const {code, stderr} = await resumeWith({model});
        expect(code, stderr).to.equal(2);
        expect(stderr).to.match(/had other data: the tokenizer or the chat template of the model/);
      });

      it('goes on with --force, and says so', async () => {
        const {stderr} = await resumeWith(other([...all].reverse()), '--force');
        expect(stderr).to.match(/had other data: .*; it goes on with these, by --force\n/);
        expect(stderr).to.match(laterError);
      });

      it('knows the same examples in another file', async () => {
        const lines = all.map((each) => `${JSON.stringify(each)}  \r\n`).join('\n');
        const moved = {data: folder.write('moved.jsonl', `\ufeff${lines}`)};
        const {stderr} = await resumeWith(moved);
        expect(stderr).not.to.match(/other data/);
        expect(stderr).to.match(laterError);
      });

      it('compares held-out examples of their own', async () => {
        const run = newOutput();
        const held = folder.writeLines('held.jsonl', texts(4));
        const at = {at: '"step":3,"loss"', signal: 'SIGINT'} as const;
        await stopped(run, ['--steps', '1000', '--validation', held], at);
        folder.writeLines('held.jsonl', texts(5));
        const more = await resume(run);
        expect(more.code).to.equal(2);
        expect(more.stderr).to.match(/other data: .*held\.jsonl had 4 examples, and has 5;/);
        folder.writeLines('held.jsonl', words(texts(4)));
        const others = await resume(run);
        expect(others.code).to.equal(2);
        expect(others.stderr).to.match(/other data: .*held\.jsonl has 4 examples as then, but/);
      });

      it('refuses a checkpoint that does not say which data it had', async () => {
        const run = copy();
        const checkpoints = join(run, 'checkpoints');
        const paths = readdirSync(checkpoints).filter((name) => name.endsWith('.json'));
        const json = JSON.parse(readFileSync(join(checkpoints, paths.sort().at(-1)!), 'utf8')) as {
          extra: object;
        };
        const write = (extra: object): void => {
          const bytes = JSON.stringify({...json, extra});
          const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
          writeFileSync(join(checkpoints, `checkpoint-999999-${hash}.json`), bytes);
        };
        write({...json.extra, data: {data: {examples: 'x', sha256: ''}, heldOut: 1}});
        expect((await resume(run)).stderr).to.match(
          /its checkpoint has no data of a run in extra; got/,
        );
      });
    });

    it('refuses a log that has lost steps', async () => {
      const other = copy();
      copyFileSync(join(other, 'config.json'), join(other, 'log.jsonl'));
      const {code, stderr} = await resume(other);
      expect(code).to.equal(1);
      expect(stderr).to.match(/log\.jsonl has 0 of the first \d+ steps/);
    });

    it('does not read a log that is too large to be any', async () => {
      const other = copy();
      truncateSync(join(other, 'log.jsonl'), 500_000_001);
      const {code, stderr} = await resume(other);
      expect(code).to.equal(1);
      expect(stderr).to.match(/log\.jsonl' has 500000001 bytes, where no more than 500000000 can/);
    });

    it('refuses lines of a log that are no entries, and steps in another order', async () => {
      const log = readFileSync(join(copy(), 'log.jsonl'), 'utf8');
      const entries = log.trimEnd().split('\n');
      const steps = entries.filter((line) => line.includes('"event":"step"'));
      for (const [lines, message] of [
        [[...entries, 'null'], /log\.jsonl has a line that is no entry of a log: null/],
        [[...entries, '{"event":"step"}'], /no entry of a log: \{"event":"step"\}/],
        [
          steps.map((line) => line.replace(/"step":\d+/, '"step":1')),
          /not each of the first \d+ steps/,
        ],
      ] as const) {
        const other = copy();
        writeFileSync(join(other, 'log.jsonl'), lines.join('\n'));
        const {code, stderr} = await resume(other);
        expect(code).to.equal(1);
        expect(stderr).to.match(message);
      }
    });

    it("refuses a checkpoint with another program's extra", async () => {
      const other = copy();
      const checkpoints = join(other, 'checkpoints');
      const [path] = readdirSync(checkpoints)
        .filter((name) => name.endsWith('.json'))
        .sort()
        .slice(-1);
      const json = JSON.parse(readFileSync(join(checkpoints, path!), 'utf8')) as {
        step: number;
        extra: {data: object; options: object};
      };
      const {data, options} = json.extra;
      const state = {steps: json.step, stateBytes: 0, data, options};
      for (const [extra, message] of [
        [null, /its checkpoint has no options of a run in extra; got/],
        [{data}, /its checkpoint has no options of a run in extra; got nothing/],
        [{options}, /its checkpoint has no data of a run in extra; got nothing/],
        [{data, options}, /extra must be \{steps, stateBytes, begun\}, .*; got \{/],
        [{...state, steps: 1e9, begun: null}, /extra: steps must be .*; got 1000000000/],
        ...[0, 1, -1, 1e9].map((batches) => {
          const extra = {...state, begun: {batches, lossSum: 1}};
          return [extra, /extra: begun must be of the 0 batches .*; got \{"batches":/] as const;
        }),
      ] as const) {
        const bytes = JSON.stringify({...json, extra});
        const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
        const file = join(checkpoints, `checkpoint-999999-${hash}.json`);
        writeFileSync(file, bytes);
        const {code, stderr} = await resume(other);
        expect(code).to.equal(1);
        expect(stderr).to.match(message);
        rmSync(file);
      }
    });
  });

  itAtLength(
    'makes more steps at a learning rate that does not depend on them, and not fewer than there are',
    async () => {
      const output = newOutput();
      const args = ['--schedule', 'constant', '--evaluate-every', '5', '--interval', '2'];
      await stopped(output, ['--steps', '1000', ...args], {
        at: '"step":3,"loss"',
        signal: 'SIGINT',
      });
      const file = join(output, 'config.json');
      const config = JSON.parse(readFileSync(file, 'utf8')) as object;
      writeFileSync(file, JSON.stringify({...config, steps: 2}));
      const fewer = await resume(output);
      expect(fewer.code).to.equal(2);
      expect(fewer.stderr).to.match(
        /the run has made \d+ steps, and its options say 2 in all; give it more in its config\.json/,
      );
      const made =
        readFileSync(join(output, 'log.jsonl'), 'utf8').split('"event":"step"').length - 1;
      const steps = made + 2;
      writeFileSync(file, JSON.stringify({...config, steps}));
      const more = await resume(output);
      expect(more.code, more.stderr).to.equal(0);
      const whole = newOutput();
      expect((await runCli(argsOf(whole, '--steps', String(steps), ...args))).code).to.equal(0);
      expect(remains(output).model === remains(whole).model).to.equal(true);
    },
  );

  it('counts the time of the steps before', async () => {
    const output = newOutput();
    await stopped(output, ['--steps', '12'], {at: '"step":4,"loss"', signal: 'SIGINT'});
    const log = join(output, 'log.jsonl');
    // as if each had taken a quarter of an hour
    const slow = readFileSync(log, 'utf8').replace(/"seconds":[\d.e-]+/g, '"seconds":900');
    writeFileSync(log, slow);
    const earlier = 900 * (slow.split('"seconds":900').length - 1);
    const {code, stdout, stderr} = await resume(output, '--json');
    expect(code, stderr).to.equal(0);
    const {seconds} = JSON.parse(stdout) as {seconds: number};
    expect(seconds).to.be.within(earlier, earlier + 60);
    const report = readFileSync(join(output, 'report.html'), 'utf8');
    expect(Number(/"seconds":([\d.]+)/.exec(report)![1])).to.equal(seconds);
  });

  it('refuses a run that has come to its end', async () => {
    const output = newOutput();
    expect((await runCli(argsOf(output, '--steps', '1'))).code).to.equal(0);
    const {code, stderr} = await resume(output);
    expect(code).to.equal(2);
    // before the model is loaded
    expect(stderr).to.match(/^error: finetune: --resume: the run in '.*' has come to its end/);
  });
});
