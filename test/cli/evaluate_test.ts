import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  generate,
  gsm8k,
  loadLlama,
  logLikelihoods,
  multipleChoice,
  type MultipleChoiceScore,
} from '../../src/llama';
import {defaultBackend, describeBackends, fastBackend} from '../support/backends';
import {
  copyWithNaN,
  createFolderWithoutTemplate,
  createModelFolder,
  texts,
  type ModelFolder,
} from './model_folder';
import {runCli} from './run_cli';

const questions = Array.from({length: 5}, (_, i) => ({
  question: {
    stem: `what is ${i}`,
    choices: [
      {text: 'the cat', label: 'A'},
      {text: 'a mat', label: 'B'},
    ],
  },
  answerKey: 'AB'[i % 2],
}));

describeBackends('tfjs-owlore evaluate', (backend) => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  const runJson = async (...args: string[]): Promise<Record<string, unknown>> => {
    const common = ['--model', folder.model, '--backend', backend, '--json'];
    const {numTensors} = tf.memory();
    const {code, stdout, stderr} = await runCli(['evaluate', ...common, ...args]);
    expect(code, stderr).to.equal(0);
    expect(tf.memory().numTensors).to.equal(numTensors);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  it('has the perplexity of texts, by the likelihood of each', async () => {
    const examples = texts(5);
    const data = folder.writeLines('texts.jsonl', examples);
    const {tokenizer} = folder;
    const rows = examples.map(({text}) => [...tokenizer.encode(text), tokenizer.eosTokenId!]);
    const {model} = await loadLlama(folder.model);
    const found = await logLikelihoods(
      model,
      rows.map(([first, ...rest]) => ({context: [first!], continuation: rest})),
    );
    model.dispose();
    const tokens = rows.reduce((sum, {length}) => sum + length - 1, 0);
    const loss = -found.reduce((sum, {logLikelihood}) => sum + logLikelihood, 0) / tokens;

    const result = await runJson('--data', data, '--batch-size', '2');
    expect(result).to.deep.include({task: 'perplexity', data, backend, tokens, examples: 5});
    expect(result['loss']).to.be.closeTo(loss, 1e-4);
    expect(result['perplexity']).to.be.closeTo(Math.exp(loss), 1e-3 * Math.exp(loss));
  });

  it('has no perplexity of weights that are not finite, exit code 1', async () => {
    const data = folder.writeLines('texts.jsonl', texts(5));
    const args = ['evaluate', '--model', copyWithNaN(folder), '--backend', backend, '--data', data];
    for (const json of [[], ['--json']]) {
      const {code, stdout, stderr} = await runCli([...args, ...json]);
      expect(code).to.equal(1);
      expect(stdout).not.to.match(/perplexity( |":)|null/);
      expect(stderr).to.match(
        /evaluate: the loss is NaN: the model has weights that are not finite/,
      );
    }
  });

  it('asks the questions of a task', async () => {
    const data = folder.writeLines('arc.jsonl', questions);
    const result = await runJson('--task', 'arc', '--data', data);
    const answers = result['answers'] as number[];
    expect(answers.length).to.equal(5);
    const right = answers.filter((answer, i) => answer === i % 2).length;
    expect(result).to.include({task: 'arc', questions: 5, normalizedAccuracy: right / 5});
  });
});

describe('tfjs-owlore evaluate', () => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  const run = (...args: string[]) =>
    runCli(['evaluate', '--model', folder.model, '--backend', defaultBackend, ...args]);

  it('prints values below one another, and problems with their lines', async () => {
    const long = {text: 'the cat '.repeat(60)};
    const lines = [...texts(2), {text: ''}, long, ...Array.from({length: 6}, () => ({no: 1}))];
    const {code, stdout, stderr} = await run('--data', folder.writeLines('t.jsonl', lines));
    expect(code).to.equal(0);
    expect(stdout).to.match(
      /^perplexity {2}[\d.e+]+\nloss {8}[\d.]+\ntokens {6}\d+\nexamples {4}3\n$/,
    );
    expect(stderr).to.include('t.jsonl: of 10 examples 7 dropped, 1 cut\n');
    expect(stderr).to.match(
      /\n {2}6 dropped, the first in line 5: an example needs .*; it has no\n {2}1 dropped, in line 3: 'text' is empty\n/,
    );
    expect(stderr).to.match(
      /\n {2}1 cut, in line 4: it does not fit in --max-length 64; it has .* tokens\n {2}the model takes no more than 64 tokens; divide longer examples\n.*model: .* parameters, on .*\n$/,
    );
  });

  it('says which option would cut less', async () => {
    const data = folder.writeLines('long.jsonl', texts(4));
    expect((await run('--data', data, '--max-length', '4')).stderr).to.match(
      /long\.jsonl: jsonl, 4 examples; text is 'text'\n.*long\.jsonl: of 4 examples 4 cut\n {2}4 cut, the first in line 1: .*\n {2}a larger --max-length cuts less, and takes more memory; the model takes up to 64 tokens\n.*model: .* parameters, on .*\n$/,
    );
  });

  it('takes no more than it is told', async () => {
    const lines = texts(9);
    const all = folder.writeLines('all.jsonl', lines);
    const few = folder.writeLines('few.jsonl', lines.slice(0, 4));
    const read = async (...args: string[]) =>
      JSON.parse((await run('--json', ...args)).stdout) as Record<string, unknown>;
    const limited = await read('--data', all, '--limit', '4');
    expect({...limited, data: few}).to.deep.equal(await read('--data', few));
    const data = folder.writeLines('arc.jsonl', questions);
    expect((await read('--task', 'arc', '--data', data, '--limit', '2'))['questions']).to.equal(2);
  });

  it('puts examples before the questions', async () => {
    const data = folder.writeLines('arc.jsonl', questions);
    const args = ['--task', 'arc', '--data', data, '--shots', '1', '--shots-from', data];
    const {code, stdout} = await run(...args);
    expect(code).to.equal(0);
    expect(stdout).to.match(
      /^questions {12}5\naccuracy {13}[\d.]+ %\nnormalized accuracy {2}[\d.]+ % ± [\d.]+\n$/,
    );

    // choices of one length, between which the context decides
    const letters = 'abcdefgh'.split('').map((text, i) => ({text, label: 'ABCDEFGH'[i]!}));
    const asked = questions.map(({question: {stem}}) => ({
      ...{question: {stem, choices: letters}, answerKey: 'C'},
    }));
    const close = folder.writeLines('close.jsonl', asked);
    const {model} = await loadLlama(folder.model);
    const ask = (shots: number): Promise<MultipleChoiceScore> =>
      multipleChoice(model, folder.tokenizer, close, {task: 'arc', shots, shotsFrom: close});
    const [without, expected] = [await ask(0), await ask(1)];
    model.dispose();
    expect(without.answers).not.to.deep.equal(expected.answers);
    const json = await run(...args, '--data', close, '--shots-from', close, '--json');
    expect(JSON.parse(json.stdout)).to.deep.include(expected);
  });

  it('asks gsm8k', async () => {
    const problems = [1, 2].map((n) => ({question: `${n}?`, answer: `it is\n#### ${n}`}));
    const data = folder.writeLines('gsm8k.jsonl', problems);
    const args = ['--task', 'gsm8k', '--data', data, '--max-new-tokens', '5'];
    const {code, stdout} = await run(...args);
    expect(code).to.equal(0);
    expect(stdout).to.equal('questions    2\nexact match  0.00 % ± 0.00\n');
    // the model has room for a question, and not for two examples before it
    const long = await run(...args, '--shots', '2', '--shots-from', data);
    expect(long.code).to.equal(1);
    expect(long.stderr).to.include("more than the model's maxPositionEmbeddings (64)");
  });

  it('asks gsm8k in the chat template, with solved examples as earlier turns', async () => {
    const problems = [1, 2].map((n) => ({question: `${n}?`, answer: `#### ${n}`}));
    const other = await createModelFolder({maxPositionEmbeddings: 256});
    const data = other.writeLines('gsm8k.jsonl', problems);
    const {tokenizer} = other;
    const prompts: number[][] = [];
    const {model} = await loadLlama(other.model);
    const expected = await gsm8k(model, tokenizer, data, {
      ...{chat: true, shots: 1, shotsFrom: data, maxNewTokens: 5},
      generate: (given, ids, options) => {
        prompts.push(Array.from(ids));
        return generate(given, ids, options);
      },
    });
    model.dispose();
    expect(prompts).to.deep.equal(
      ['1?', '2?'].map((question) =>
        tokenizer.applyChatTemplate(
          [
            {role: 'user', content: 'Question: 1?\nAnswer:'},
            {role: 'assistant', content: '#### 1'},
            {role: 'user', content: `Question: ${question}\nAnswer:`},
          ],
          {addGenerationPrompt: true},
        ),
      ),
    );
    const args = ['evaluate', '--model', other.model, '--backend', defaultBackend, '--json'];
    const how = ['--task', 'gsm8k', '--data', data, '--max-new-tokens', '5', '--chat'];
    const {code, stdout, stderr} = await runCli([
      ...args,
      ...how,
      '--shots',
      '1',
      '--shots-from',
      data,
    ]);
    expect(code, stderr).to.equal(0);
    expect(JSON.parse(stdout)).to.deep.include(expected);
    other.remove();
  });

  it('refuses --chat with a model that has no chat template, before it reads the weights', async () => {
    const other = await createFolderWithoutTemplate();
    const data = other.writeLines('gsm8k.jsonl', [{question: '1?', answer: '#### 1'}]);
    const args = ['evaluate', '--model', other.model, '--backend', defaultBackend];
    const {code, stderr} = await runCli([...args, '--task', 'gsm8k', '--data', data, '--chat']);
    expect(code).to.equal(2);
    expect(stderr).to.match(/^error: evaluate: --chat needs a chat template, and the tokenizer /);
    other.remove();
  });

  it('reads the answers to gsm8k in what a model writes', async function () {
    this.timeout(120_000);
    const answered = {text: 'Question: 2?\nAnswer: #### 2'};
    const learned = folder.writeLines('learned.jsonl', Array<object>(20).fill(answered));
    const output = join(folder.path, 'learned');
    const {code, stderr} = await runCli([
      ...['finetune', '--model', folder.model, '--data', learned, '--output', output],
      ...['--backend', fastBackend, '--method', 'full', '--learning-rate', '0.02'],
      ...['--steps', '60', '--batch-size', '2', '--evaluate-every', '60'],
    ]);
    expect(code, stderr).to.equal(0);

    const problems = [1, 2].map((n) => ({question: `${n}?`, answer: `#### ${n}`}));
    const data = folder.writeLines('gsm8k.jsonl', problems);
    const args = ['--model', join(output, 'model'), '--task', 'gsm8k', '--data', data];
    const {stdout} = await run(...args, '--max-new-tokens', '8', '--json');
    const {model} = await loadLlama(join(output, 'model'));
    const expected = await gsm8k(model, folder.tokenizer, data, {maxNewTokens: 8});
    model.dispose();
    expect(expected.answers).to.deep.equal(['2', '2']);
    expect(JSON.parse(stdout)).to.deep.include(expected);
  });

  for (const [args, message, code] of [
    [['--task', 'arc', '--packing'], /--packing has no meaning with --task arc/, 2],
    [['--task', 'arc', '--max-length', '8'], /--max-length has no meaning with --task arc/, 2],
    [['--task', 'arc', '--max-new-tokens', '8'], /--max-new-tokens has no meaning/, 2],
    [['--task', 'arc', '--chat'], /--chat has no meaning with --task arc/, 2],
    [['--chat'], /--chat has no meaning with --task perplexity/, 2],
    [['--task', 'gsm8k', '--batch-size', '8'], /--batch-size has no meaning with --task gsm8k/, 2],
    [['--shots', '2'], /--shots has no meaning with --task perplexity/, 2],
    [
      ['--task', 'arc', '--shots-from', 'README.md'],
      /error: evaluate: --shots-from has no meaning with --shots 0\n/,
      2,
    ],
    [['--task', 'arc', '--shots', '2'], /--shots 2 needs --shots-from, a file/, 2],
    [['--task', 'arc', '--shots', '9', '--shots-from', 'README.md'], /README\.md: line 1: /, 1],
    [['--task', 'boolq'], /line 1: (there is no field 'passage'|'answer' must be)/, 1],
    [
      ['--max-length', '65'],
      /evaluate: --max-length must be at most the model's .*\(64\); got 65/,
      1,
    ],
    [['--task', 'gsm8k'], /questions\.jsonl: line 1: 'question' and 'answer' must be texts/, 1],
  ] as const) {
    it(`refuses '${args.join(' ')}'`, async () => {
      const data = folder.writeLines('questions.jsonl', questions);
      const result = await run('--data', data, ...args);
      expect([result.code, result.stdout]).to.deep.equal([code, '']);
      expect(result.stderr).to.match(message);
    });
  }
});
