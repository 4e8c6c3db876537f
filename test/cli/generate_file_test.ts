import {existsSync, mkdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {Interruption} from '../../src/cli/interruption';
import {runProgram} from '../../src/cli/program';
import {generate, loadLlama} from '../../src/llama';
import {loadBackend} from '../../tools/load_backend';
import {describeBackends, fastBackend} from '../support/backends';
import {resultOf} from '../support/programs';
import {onSmallDisk} from '../support/small_disk';
import {start} from './cli_process';
import {createModelFolder, type ModelFolder} from './model_folder';
import {runCli, TextSink} from './run_cli';

interface Line {
  text: string;
  finishReason: string;
  promptTokens: number;
  newTokens: number;
  seed?: number;
  [field: string]: unknown;
}

const linesOf = (jsonl: string): Line[] =>
  jsonl
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

const messages = [
  {role: 'system', content: 'be brief'},
  {role: 'user', content: 'the cat'},
];
const prompts = [
  {prompt: 'the cat'},
  {id: 7, messages},
  {prompt: 'a'},
  {prompt: 'sat on the mat, the mat'},
];

describeBackends('tfjs-owlore generate --prompts', (backend) => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder({maxPositionEmbeddings: 96})));
  after(() => folder.remove());

  it('writes for each line what its text gets alone, in order, and leaves nothing behind', async () => {
    const {tokenizer} = folder;
    const {model} = await loadLlama(folder.model);
    const texts: string[] = [];
    for (const {prompt} of prompts) {
      const ids = prompt
        ? tokenizer.encode(prompt)
        : tokenizer.applyChatTemplate(messages, {addGenerationPrompt: true});
      const stop = tokenizer.eosTokenId!;
      const options = {temperature: 0.8, seed: 5 + texts.length, maxNewTokens: 8, stop};
      const written = await generate(model, ids, options);
      texts.push(
        tokenizer
          .decode([...ids, ...written.ids], {skipSpecialTokens: true})
          .slice(tokenizer.decode(ids, {skipSpecialTokens: true}).length),
      );
    }
    model.dispose();
    const file = folder.writeLines('prompts.jsonl', prompts);
    const {numTensors} = tf.memory();
    const args = ['generate', '--model', folder.model, '--backend', backend, '--prompts', file];
    const sampling = ['--temperature', '0.8', '--seed', '5', '--max-new-tokens', '8'];
    const {code, stdout, stderr} = await runCli([...args, ...sampling, '--batch', '3']);
    expect(code, stderr).to.equal(0);
    expect(tf.memory().numTensors).to.equal(numTensors);
    const lines = linesOf(stdout);
    expect(lines.map(({text}) => text)).to.deep.equal(texts);
    lines.forEach((line, i) => expect(line).to.deep.include({...prompts[i], seed: 5 + i}));
    expect(stderr).to.match(/\n4 texts, \d+ tokens in [\d.]+ s \([\d.e+]+ a second\)\n$/);
  });
});

describe('tfjs-owlore generate --prompts', () => {
  let folder: ModelFolder;
  let file: string;
  before(async () => {
    folder = await createModelFolder();
    file = folder.writeLines('prompts.jsonl', [{prompt: 'the cat'}, {prompt: 'a'}]);
  });
  after(() => folder.remove());

  const run = (...args: string[]) =>
    runCli(['generate', '--model', folder.model, '--backend', fastBackend, ...args]);

  it('writes to a file, and with --json one object', async () => {
    const few = ['--prompts', file, '--max-new-tokens', '3'];
    const lines = linesOf((await run(...few)).stdout);
    const output = join(folder.path, 'out.jsonl');
    const toFile = await run(...few, '--output', output);
    expect([toFile.code, toFile.stdout]).to.deep.equal([0, '']);
    expect(toFile.stderr).to.match(new RegExp(`\nTexts: ${output}\n$`));
    expect(linesOf(readFileSync(output, 'utf8'))).to.deep.equal(lines);
    const json = JSON.parse((await run(...few, '--json')).stdout) as object;
    expect(json).to.deep.include({results: lines, texts: 2, tokens: 6, backend: fastBackend});
    expect(lines[0]).to.deep.include({prompt: 'the cat', newTokens: 3, finishReason: 'length'});
    expect(lines[0]).not.to.have.property('seed');
  });

  it('ends texts before a stop, and takes prompts as messages', async () => {
    const few = ['--prompts', file, '--max-new-tokens', '12'];
    const [whole] = linesOf((await run(...few)).stdout);
    const stop = whole!.text.slice(5, 8);
    const [ended] = linesOf((await run(...few, '--stop', stop)).stdout);
    expect(ended!.text).to.equal(whole!.text.slice(0, whole!.text.indexOf(stop)));
    expect(ended!.finishReason).to.equal('stop');
    const [chat] = linesOf((await run(...few, '--chat')).stdout);
    expect(chat!.promptTokens).to.be.greaterThan(whole!.promptTokens);
  });

  for (const [line, message] of [
    ['{"prompt": ', /it is not JSON: /],
    ['["x"]', /a line must be an object; got \["x"\]/],
    [
      '{"promt": "x"}',
      /a line must have either 'prompt' or 'messages'; got the fields \["promt"\]/,
    ],
    ['{"prompt": "x", "messages": []}', /a line must have either 'prompt' or 'messages'; got both/],
    ['{"prompt": 3}', /'prompt' must be a text; got 3/],
    ['{"messages": []}', /'messages' must be a list of .*; got \[\]/],
    [
      '{"messages": [{"role": "user"}]}',
      /a message must have 'role' and 'content', .*; message 1 is \{"role":"user"\}/,
    ],
    [
      '{"messages": [{"role": "assistant", "content": "x"}]}',
      /the last message is the assistant's/,
    ],
    ['{"prompt": "x", "text": "y"}', /the result will have a field 'text'/],
  ] as const) {
    it(`refuses ${line} with its file and line, before the model is loaded, exit code 2`, async () => {
      const wrong = folder.write('wrong.jsonl', `{"prompt": "x"}\n\n${line}\n`);
      const {code, stderr} = await run('--prompts', wrong);
      expect(code).to.equal(2);
      expect(stderr).to.match(new RegExp(`^error: generate: ${wrong}: line 3: ${message.source}`));
    });
  }

  it('refuses a file without prompts, one of other texts, and options without meaning', async () => {
    const empty = folder.write('empty.jsonl', '\n');
    for (const [args, message] of [
      [['--prompts', empty], `${empty} is empty`],
      [['--prompts', file, '--prompt', 'x'], '--prompt has no meaning with --prompts'],
      [['--prompt', 'x', '--batch', '2'], '--batch has no meaning with one text'],
      [
        ['--prompts', file, '--output', file],
        `--output: '${file}' is the file of --prompts, which is read; name another one`,
      ],
    ] as const) {
      const {code, stdout, stderr} = await run(...args);
      expect([code, stdout, stderr]).to.deep.equal([2, '', `error: generate: ${message}\n`]);
    }
    expect(readFileSync(file, 'utf8')).to.include('the cat');
  });

  it('names the line of a text that is too long for the model, exit code 1', async () => {
    const long = folder.writeLines('long.jsonl', [{prompt: 'x'}, {prompt: 'the cat '.repeat(40)}]);
    const tooLong = await run('--prompts', long);
    expect(tooLong.code).to.equal(1);
    expect(tooLong.stderr).to.match(/: line 2: the text must have .* fewer than 64, /);
    const many = await run('--prompts', file, '--max-new-tokens', '63');
    expect(many.stderr).to.match(
      /error: generate: --max-new-tokens must be at most \d+ for line 1 of .*; got 63\n$/,
    );
  });

  it('says that its output cannot be written', async () => {
    const {code, stderr} = await run('--prompts', file, '--output', folder.path);
    expect(code).to.equal(2);
    expect(stderr).to.match(/^error: generate: --output must be a file; '.*' is a folder\n$/);
    const small = join(folder.path, 'small');
    mkdirSync(small);
    await onSmallDisk(small, async () => {
      const [output, note] = [join(small, 'out.jsonl'), 'x'.repeat(100_000)];
      const lines = folder.writeLines('long.jsonl', [{prompt: 'the cat', note}]);
      const {code, stderr} = await run('--prompts', lines, '--output', output);
      expect(code).to.equal(1);
      expect(stderr).to.match(
        /\nerror: generate: '.*out\.jsonl' cannot be written: ENOSPC.*; make room there, or name another file as --output\n$/,
      );
    });
    // takes files, and has no place for what is in them
    if (!existsSync('/dev/full')) return;
    const full = await run('--prompts', file, '--output', '/dev/full');
    expect(full.code).to.equal(1);
    expect(full.stderr).to.match(/\nerror: generate: '\/dev\/full' cannot be written: ENOSPC/);
  });
});

describe('Ctrl-C in tfjs-owlore generate', function () {
  this.timeout(120_000);
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder({maxPositionEmbeddings: 100_000})));
  after(() => folder.remove());

  it('cuts off what is under way, writes it, and ends with exit code 130', async () => {
    const file = folder.writeLines('many.jsonl', [
      {prompt: 'the cat'},
      {prompt: 'a'},
      {prompt: 'x'},
    ]);
    const args = ['generate', '--model', folder.model, '--backend', 'wasm', '--prompts', file];
    const child = start([...args, '--batch', '2', '--max-new-tokens', '90000']);
    const done = resultOf(child);
    child.stderr!.on('data', (text: Buffer) => {
      if (text.includes('tokens a second')) child.kill('SIGINT');
    });
    const {code, stdout, stderr} = await done;
    expect(code, stderr).to.equal(130);
    expect(stderr).to.match(/\nstopped by SIGINT after 0 of 3 texts; 2 more are cut off\n$/);
    const lines = linesOf(stdout);
    expect(lines.map(({prompt}) => prompt)).to.deep.equal(['the cat', 'a']);
    for (const {finishReason, newTokens, text} of lines) {
      expect(finishReason).to.equal('interrupted');
      expect(newTokens).to.be.within(1, 89_999);
      expect(text).not.to.equal('');
    }
  });

  it('ends a single text, exit code 130', async () => {
    const [interruption, stdout, stderr] = [new Interruption(), new TextSink(), new TextSink()];
    const args = [
      'generate',
      '--model',
      folder.model,
      '--backend',
      fastBackend,
      '--prompt',
      'the cat',
    ];
    const write = stdout._write.bind(stdout);
    stdout._write = (...args) => {
      write(...args);
      if (stdout.text.length > 3) interruption.receive('SIGINT');
    };
    const code = await runProgram([...args, '--max-new-tokens', '90000'], {
      ...{stdin: process.stdin, stdout, stderr, interruption, loadBackend},
    });
    expect(code).to.equal(130);
    expect(stderr.text).to.match(/\nstopped by SIGINT after \d tokens\n$/);
    expect(stdout.text).to.match(/^[^\n]{4,}\n$/);
  });
});
