import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {loadBackend} from '../../tools/load_backend';
import {runProgram} from '../../src/cli/program';
import {generate, loadLlama} from '../../src/llama';
import {defaultBackend, describeBackends} from '../support/backends';
import {FileServer} from '../files/file_server';
import {
  createFolderWithoutTemplate,
  createModelFolder,
  texts,
  type ModelFolder,
} from './model_folder';
import {runCli, TextSink} from './run_cli';

const filesOf = (folder: string): Map<string, Uint8Array> =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));

interface Result {
  text: string;
  ids: number[];
  finishReason: 'length' | 'stop';
  promptTokens: number;
  seconds: number;
  backend: string;
}

describeBackends('tfjs-owlore generate', (backend) => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  const run = (args: readonly string[], stdin?: string) =>
    runCli(['generate', '--model', folder.model, '--backend', backend, ...args], stdin);

  const runJson = async (args: readonly string[], stdin?: string): Promise<Result> => {
    const {code, stdout, stderr} = await run([...args, '--json'], stdin);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout) as Result;
  };

  it('continues a prompt as the library does, and leaves nothing behind', async () => {
    const prompt = folder.tokenizer.encode('the cat');
    const {model} = await loadLlama(folder.model);
    const {ids} = await generate(model, prompt, {maxNewTokens: 12});
    model.dispose();

    const {numTensors} = tf.memory();
    const result = await runJson(['--prompt', 'the cat', '--max-new-tokens', '12']);
    expect(tf.memory().numTensors).to.equal(numTensors);
    expect(result.ids).to.deep.equal(ids);
    expect(result.text).to.equal(
      folder.tokenizer.decode([...prompt, ...ids], {skipSpecialTokens: true}).slice(7),
    );
    expect(result).to.include({promptTokens: prompt.length, finishReason: 'length', backend});
    expect(result.seconds).to.be.greaterThan(0);
  });

  it('writes the text alone on stdout, with a line end', async () => {
    const args = ['--prompt', 'the cat', '--max-new-tokens', '5'];
    const {text} = await runJson(args);
    const {code, stdout, stderr} = await run(args);
    expect([code, stdout]).to.deep.equal([0, `${text}\n`]);
    expect(stderr.split('\n')[0]).to.match(/model: [\d.]+K parameters, on /);
    expect(stderr).to.match(/\n5 tokens, the most allowed, in [\d.]+ s \([\d.e+]+ a second\)\n$/);
  });
});

describe('tfjs-owlore generate', () => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  const run = (args: readonly string[], stdin?: string | Uint8Array | null) =>
    runCli(['generate', '--model', folder.model, '--backend', defaultBackend, ...args], stdin);

  const runJson = async (args: readonly string[], stdin?: string): Promise<Result> => {
    const {code, stdout, stderr} = await run([...args, '--json'], stdin);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout) as Result;
  };
  const few = ['--max-new-tokens', '4'];

  it('takes its prompt from a file or from stdin, without the line end and a byte order mark', async () => {
    const wanted = (await runJson(['--prompt', 'the cat', ...few])).ids;
    const file = folder.write('prompt.txt', 'the cat\r\n');
    expect((await runJson(['--prompt-file', file, ...few])).ids).to.deep.equal(wanted);
    const marked = folder.write('marked.txt', '\uFEFFthe cat\r\n');
    expect((await runJson(['--prompt-file', marked, ...few])).ids).to.deep.equal(wanted);
    expect((await runJson(few, 'the cat\n')).ids).to.deep.equal(wanted);
    expect((await runJson(few, 'the cat\n\n')).ids).not.to.deep.equal(wanted);
  });

  it('refuses a prompt that is not UTF-8', async () => {
    const bytes = Uint8Array.of(0x74, 0xe9, 0x74);
    const file = folder.write('latin1.txt', bytes);
    const fromFile = await run(['--prompt-file', file, ...few]);
    expect([fromFile.code, fromFile.stderr]).to.deep.equal([
      2,
      `error: ${file} is not UTF-8; save it as UTF-8\n`,
    ]);
    const fromStdin = await run(few, bytes);
    expect([fromStdin.code, fromStdin.stderr]).to.deep.equal([
      2,
      'error: generate: stdin is not UTF-8; save it as UTF-8\n',
    ]);
  });

  it('takes a model by its URL', async () => {
    const server = await FileServer.start(filesOf(folder.model));
    try {
      const args = ['generate', '--model', server.url, '--backend', defaultBackend, '--json'];
      const {code, stdout} = await runCli([...args, '--prompt', 'the cat', ...few]);
      expect(code).to.equal(0);
      const {ids} = await runJson(['--prompt', 'the cat', ...few]);
      expect((JSON.parse(stdout) as Result).ids).to.deep.equal(ids);
    } finally {
      await server.close();
    }
  });

  it('keeps matrices at 16 bits with --frozen-dtype BF16, and says what else there is', async () => {
    const {model} = await loadLlama(folder.model, {frozenDtype: 'BF16'});
    const {ids} = await generate(model, folder.tokenizer.encode('the cat'), {maxNewTokens: 4});
    model.dispose();
    const args = ['--prompt', 'the cat', ...few, '--frozen-dtype'];
    expect((await runJson([...args, 'BF16'])).ids).to.deep.equal(ids);
    const {code, stderr} = await run([...args, 'BF17']);
    expect(code).to.equal(2);
    expect(stderr).to.include("--frozen-dtype must be one of 'F32', 'BF16', 'auto'; got 'BF17'");
  });

  it('asks for one prompt', async () => {
    const none = await run(few);
    expect(none.code).to.equal(2);
    expect(none.stderr).to.match(
      /there is no text; it takes --prompt, --prompt-file, --prompts or stdin/,
    );
    const file = folder.write('prompt.txt', 'x');
    const two = await run(['--prompt', 'x', '--prompt-file', file]);
    expect(two.code).to.equal(2);
    expect(two.stderr).to.match(/--prompt-file cannot be given beside --prompt/);
  });

  it('refuses a chat template for a text that is continued as it is', async () => {
    const template = folder.write('template.jinja', '{{ messages[0].content }}');
    const {code, stderr} = await run(['--prompt', 'x', '--chat-template', template]);
    expect(code).to.equal(2);
    expect(stderr).to.match(/--chat-template takes effect with --chat or messages of --prompts;/);
    const chat = ['--chat', '--prompt', 'the cat', '--chat-template', template];
    const asItIs = ['--prompt', 'the cat'];
    expect((await runJson([...chat, ...few])).ids).to.deep.equal(
      (await runJson([...asItIs, ...few])).ids,
    );
  });

  it('puts a message into the chat template', async () => {
    const {promptTokens, ids} = await runJson(['--chat', '--prompt', 'the cat', ...few]);
    const chat = folder.tokenizer.applyChatTemplate([{role: 'user', content: 'the cat'}], {
      addGenerationPrompt: true,
    });
    expect(promptTokens).to.equal(chat.length);
    const text = folder.tokenizer.decode(chat);
    expect((await runJson(['--prompt', text, ...few])).ids).to.deep.equal(ids);
  });

  it('refuses --chat with a model that has no chat template, before it reads the weights', async () => {
    const other = await createFolderWithoutTemplate();
    const command = ['generate', '--model', other.model, '--backend', defaultBackend];
    const {code, stdout, stderr} = await runCli([...command, '--chat', '--prompt', 'the cat']);
    expect([code, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.match(/error: generate: --chat needs a chat template.* without --chat\n$/s);
    const file = other.writeLines('prompts.jsonl', [{prompt: 'a'}, {messages: [{role: 'user', content: 'a'}]}]); // prettier-ignore
    const many = await runCli([...command, '--prompts', file]);
    expect([many.code, many.stdout]).to.deep.equal([2, '']);
    const message = /the 'messages' of line 2 of .* need a chat template.* as 'prompt'\n$/s;
    expect(many.stderr).to.match(message);
    other.remove();
  });

  it('draws the same text for the same seed', async () => {
    const drawn = (seed: string) =>
      runJson(['--prompt', 'a', ...['--temperature', '1', '--seed', seed], '--top-p', '0.9']);
    const [one, again, other] = [await drawn('1'), await drawn('1'), await drawn('2')];
    expect(again.ids).to.deep.equal(one.ids);
    expect(other.ids).not.to.deep.equal(one.ids);
    const top = await runJson(['--prompt', 'a', '--temperature', '1', '--top-k', '1', ...few]);
    expect(top.ids).to.deep.equal((await runJson(['--prompt', 'a', ...few])).ids);
  });

  for (const [args, message] of [
    [['--top-k', '5'], '--top-k has no meaning with --temperature 0'],
    [['--top-p', '0.5', '--temperature', '0'], '--top-p has no meaning with --temperature 0'],
    [['--seed', '1'], '--seed has no meaning with --temperature 0'],
    [['--min-p', '0.1'], '--min-p has no meaning with --temperature 0'],
    [['--stop', 'a', '--stop', ''], "--stop must not be an empty text; got ''"],
  ] as const) {
    it(`refuses '${args.join(' ')}', which would do nothing, or end every text at once`, async () => {
      const {code, stdout, stderr} = await run(['--prompt', 'the cat', ...args]);
      expect([code, stdout, stderr]).to.deep.equal([2, '', `error: generate: ${message}\n`]);
    });
  }

  it('takes from a config file what the command line leaves a meaning', async () => {
    const config = folder.write(
      'drawn.json',
      JSON.stringify({promptFile: 'package.json', temperature: 1, topK: 3, seed: 4}),
    );
    const {ids} = await runJson(['--prompt', 'the cat', ...few]);
    const args = ['--config', config, '--prompt', 'the cat', '--temperature', '0', ...few];
    expect((await runJson(args)).ids).to.deep.equal(ids);
  });

  it('lets others have a turn between two tokens', async () => {
    let turn = 0;
    const count = (): void => {
      turn++;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    const turns: number[] = [];
    class TurnSink extends TextSink {
      override _write(...args: Parameters<TextSink['_write']>): void {
        turns.push(turn);
        super._write(...args);
      }
    }
    const args = ['generate', '--model', folder.model, '--backend', defaultBackend];
    await runProgram([...args, '--prompt', 'the cat', '--max-new-tokens', '8'], {
      ...{stdin: process.stdin, stdout: new TurnSink(), stderr: new TextSink(), loadBackend},
    });
    clearImmediate(next);
    const tokenTurns = turns.slice(0, -1); // the last is the end of the line
    expect(tokenTurns.length).to.be.greaterThan(4);
    expect(new Set(tokenTurns).size).to.equal(tokenTurns.length);
  });

  it('ends before a text', async () => {
    const whole = await runJson(['--prompt', 'the cat']);
    const stop = whole.text.slice(5, 8);
    const {text, finishReason, ids} = await runJson(['--prompt', 'the cat', '--stop', stop]);
    expect(text).to.equal(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(finishReason).to.equal('stop');
    expect(ids.length).to.be.below(whole.ids.length);
  });

  it('ends where the model says so, by any of its files', async () => {
    const {ids, text} = await runJson(['--prompt', 'the cat']);
    // of a token that comes once the place is known
    const at = ids.findIndex((id, i) => i > 0 && ids.indexOf(id) === i);
    const before = folder.tokenizer.decode(ids.slice(0, at));
    const configJson = readFileSync(join(folder.model, 'config.json'), 'utf8');
    for (const [name, content] of [
      ['generation_config.json', {eos_token_id: [9999, ids[at]]}],
      ['generation_config.json', {eos_token_id: ids[at]}],
      ['config.json', {...(JSON.parse(configJson) as object), eos_token_id: ids[at]}],
    ] as const) {
      folder.write('model/generation_config.json', '{}');
      const path = folder.write(`model/${name}`, JSON.stringify(content));
      const ended = await runJson(['--prompt', 'the cat']);
      expect(ended.ids, path).to.deep.equal(ids.slice(0, at + 1));
      expect(ended.finishReason).to.equal('stop');
      expect(text.startsWith(ended.text)).to.equal(true);
      expect(ended.text.startsWith(before)).to.equal(true);
    }
    folder.write('model/config.json', configJson);
  });

  describe("with the model's own generation_config.json", () => {
    const own = {do_sample: true, temperature: 0.9, top_k: 7, min_p: 0.01, repetition_penalty: 1.2};
    const told =
      /by the model's own generation_config\.json: --temperature 0\.9 --top-k 7 --min-p 0\.01 --repetition-penalty 1\.2\n/;
    const asked = ['--prompt', 'the cat', '--max-new-tokens', '12'];
    const seed = ['--seed', '5'];
    beforeEach(() => void folder.write('model/generation_config.json', JSON.stringify(own)));
    afterEach(() => void folder.write('model/generation_config.json', '{}'));

    it('draws as it says, and tells that in a line', async () => {
      const {model, generationConfig} = await loadLlama(folder.model);
      expect(generationConfig).to.deep.equal({
        ...{temperature: 0.9, topK: 7, minP: 0.01, repetitionPenalty: 1.2},
        stop: [folder.tokenizer.eosTokenId],
      });
      const {ids} = await generate(model, folder.tokenizer.encode('the cat'), {
        ...{...generationConfig, maxNewTokens: 12, seed: 5},
      });
      model.dispose();
      const {code, stdout, stderr} = await run([...asked, ...seed, '--json']);
      expect(code, stderr).to.equal(0);
      expect(stderr).to.match(told);
      expect((JSON.parse(stdout) as Result).ids).to.deep.equal(ids);
      const prompts = folder.writeLines('prompts.jsonl', [{prompt: 'the cat'}]);
      const many = await run(['--prompts', prompts, ...asked.slice(2), ...seed, '--json']);
      const {results} = JSON.parse(many.stdout) as {results: Array<{newTokens: number}>};
      expect(many.stderr).to.match(told);
      expect(results[0]).to.include({seed: 5, newTokens: ids.length});
    });

    it('has given options win, of the command line and of a config file', async () => {
      const greedy = ['--temperature', '0', '--repetition-penalty', '1'];
      const {code, stdout, stderr} = await run([...asked, ...greedy, '--json']);
      expect(code, stderr).to.equal(0);
      expect(stderr).not.to.include('generation_config');
      const config = folder.write('c.json', JSON.stringify({topK: 1, minP: 0, repetitionPenalty: 1})); // prettier-ignore
      const one = await run([...asked, '--config', config, '--json']);
      expect(one.stderr).to.match(/generation_config\.json: --temperature 0\.9\n/);
      folder.write('model/generation_config.json', '{}');
      const plain = await runJson(asked);
      for (const each of [stdout, one.stdout])
        expect((JSON.parse(each) as Result).ids).to.deep.equal(plain.ids);
    });

    it('is read from a URL', async () => {
      const server = await FileServer.start(filesOf(folder.model));
      try {
        const args = ['generate', '--model', server.url, '--backend', defaultBackend, '--json'];
        const {code, stdout, stderr} = await runCli([...args, ...asked, ...seed]);
        expect(code, stderr).to.equal(0);
        expect(stderr).to.match(told);
        const {ids} = await runJson([...asked, ...seed]);
        expect((JSON.parse(stdout) as Result).ids).to.deep.equal(ids);
      } finally {
        await server.close();
      }
    });

    it('tells once which of its values cannot be, and goes on without them', async () => {
      const wrong = JSON.stringify({...own, temperature: -1, top_p: 'all'});
      folder.write('model/generation_config.json', wrong);
      const {code, stderr} = await run([...asked, ...seed]);
      expect(code, stderr).to.equal(0);
      for (const line of [
        'warning: loadLlama: generation_config.json: temperature must be a number >= 0; got -1; it is left out\n',
        "warning: loadLlama: generation_config.json: top_p must be a number > 0 and <= 1; got 'all'; it is left out\n",
      ])
        expect(stderr.split(line)).to.have.length(2);
      expect(stderr).to.match(/json: --temperature 1 --top-k 7 --min-p/);
    });

    it('is saved with a model that is trained', async () => {
      const data = folder.writeLines('texts.jsonl', texts(10));
      const output = join(folder.path, 'trained');
      const {code, stderr} = await runCli([
        ...['finetune', '--model', folder.model, '--data', data, '--output', output],
        ...['--backend', defaultBackend, '--steps', '1', '--method', 'full'],
      ]);
      expect(code, stderr).to.equal(0);
      const saved = readFileSync(join(output, 'model/generation_config.json'), 'utf8');
      expect(JSON.parse(saved)).to.deep.equal(own);
    });
  });

  it('says what does not fit, exit code 1', async () => {
    const long = await run(['--prompt', 'the cat '.repeat(40)]);
    expect(long.code).to.equal(1);
    expect(long.stderr).to.match(
      /^error: generate: the text must have at least one token, and fewer than 64.*\n$/,
    );
    const many = await run(['--prompt', 'x', '--max-new-tokens', '64']);
    expect(many.code).to.equal(1);
    expect(many.stderr).to.match(
      /^error: generate: --max-new-tokens must be at most 6\d.*got 64\n$/,
    );
  });
});
