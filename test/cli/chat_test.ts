import {PassThrough} from 'node:stream';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {Interruption} from '../../src/cli/interruption';
import {runProgram} from '../../src/cli/program';
import {generate, loadLlama, type ChatMessage} from '../../src/llama';
import {loadBackend} from '../../tools/load_backend';
import {fastBackend} from '../support/backends';
import {resultOf} from '../support/programs';
import {start} from './cli_process';
import {createFolderWithoutTemplate, createModelFolder, type ModelFolder} from './model_folder';
import {runCli, terminal} from './run_cli';

interface Result {
  messages: ChatMessage[];
  answers: number;
  tokens: number;
}

describe('tfjs-owlore chat', () => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder({maxPositionEmbeddings: 160})));
  after(() => folder.remove());

  const args = (...more: string[]): string[] => {
    return ['chat', '--model', folder.model, '--backend', fastBackend, ...more];
  };
  const few = ['--max-new-tokens', '6'];

  /** What the model says to some messages, by the library, each text read from its start. */
  async function answersTo(system: string, lines: string[], seed: number): Promise<ChatMessage[]> {
    const {tokenizer} = folder;
    const {model} = await loadLlama(folder.model);
    const messages: ChatMessage[] = [{role: 'system', content: system}];
    for (const [i, content] of lines.entries()) {
      messages.push({role: 'user', content});
      const prompt = tokenizer.applyChatTemplate(messages, {addGenerationPrompt: true});
      const {ids} = await generate(model, prompt, {
        ...{maxNewTokens: 6, temperature: 0.9, seed: seed + i, stop: tokenizer.eosTokenId!},
      });
      const decode = (all: number[]): string => tokenizer.decode(all, {skipSpecialTokens: true});
      const text = decode([...prompt, ...ids]).slice(decode(prompt).length);
      messages.push({role: 'assistant', content: text});
    }
    model.dispose();
    return messages;
  }

  it('answers each line of stdin, in a conversation, and leaves nothing behind', async () => {
    const lines = ['the cat', 'sat', 'on the mat'];
    const wanted = await answersTo('be brief', lines, 3);
    const sampling = ['--system', 'be brief', '--temperature', '0.9', '--seed', '3', ...few];
    const {numTensors} = tf.memory();
    const {code, stdout, stderr} = await runCli(args(...sampling), `${lines.join('\n\n')}\n`);
    expect(code, stderr).to.equal(0);
    expect(tf.memory().numTensors).to.equal(numTensors);
    const answers = wanted.filter(({role}) => role === 'assistant');
    expect(stdout).to.equal(answers.map(({content}) => `${content}\n`).join(''));
    expect(stderr).to.match(/\n3 answers, \d+ tokens in [\d.]+ s \([\d.e+]+ a second\)\n$/);
    const json = await runCli(args(...sampling, '--json'), `${lines.join('\n')}\n`);
    const result = JSON.parse(json.stdout) as Result;
    expect(result.messages).to.deep.equal(wanted);
    expect(result).to.include({answers: 3, backend: fastBackend});
  });

  it('begins anew, helps, and leaves', async () => {
    const wanted = await runCli(args(...few, '--json'), 'sat\n');
    const {code, stdout, stderr} = await runCli(
      args(...few, '--json'),
      'the cat\n/reset\n/help\n/nothing\nsat\n/exit\nno more\n',
    );
    expect(code).to.equal(0);
    const {messages, answers} = JSON.parse(stdout) as Result;
    expect(messages).to.deep.equal((JSON.parse(wanted.stdout) as Result).messages);
    expect(answers).to.equal(2);
    expect(stderr).to.match(/\n\(a new conversation\)\n\/reset +begins a new conversation\n/);
    expect(stderr).to.match(/\n\(there is no command \/nothing; \/help lists them\)\n/);
  });

  it('says that the conversation does not fit, and goes on after /reset', async () => {
    const long = 'the cat sat on the mat '.repeat(20);
    const lines = `the cat\n${long}\nsat\n/reset\nsat\n`;
    const {code, stdout, stderr} = await runCli(args(...few, '--json'), lines);
    expect(code).to.equal(0);
    expect(stderr).to.match(
      /\n\(not sent: .* has \d+ tokens, and the model takes fewer than 160; /,
    );
    const {messages, answers} = JSON.parse(stdout) as Result;
    expect([messages.length, answers]).to.deep.equal([2, 3]);
    // without a limit an answer ends with the positions
    const full = await runCli(args('--temperature', '0'), 'the cat\n');
    expect(full.stderr).to.match(
      /\n\(cut off: the 160 tokens .* \/reset begins a new conversation\)\n/,
    );
  });

  it("talks as the model's own generation_config.json says", async () => {
    const own = {do_sample: true, temperature: 0.9, top_k: 0};
    folder.write('model/generation_config.json', JSON.stringify(own));
    const lines = 'the cat\nsat\n';
    const {code, stdout, stderr} = await runCli(args(...few, '--seed', '3'), lines);
    folder.write('model/generation_config.json', '{}');
    expect(code, stderr).to.equal(0);
    expect(stderr).to.include("by the model's own generation_config.json: --temperature 0.9\n");
    const drawn = await runCli(args(...few, '--seed', '3', '--temperature', '0.9'), lines);
    expect(drawn.stdout).to.equal(stdout);
    const penalty = ['--repetition-penalty', '3'];
    expect((await runCli(args(...few, ...penalty), lines)).stdout).not.to.equal(
      (await runCli(args(...few), lines)).stdout,
    );
  });

  it('refuses a seed without draws', async () => {
    const {code, stderr} = await runCli(args('--seed', '1'), 'the cat\n');
    expect([code, stderr]).to.deep.equal([
      2,
      'error: chat: --seed has no meaning with --temperature 0\n',
    ]);
  });

  it('refuses a model without a chat template', async () => {
    const other = await createFolderWithoutTemplate();
    const command = ['chat', '--model', other.model, '--backend', fastBackend];
    const {code, stdout, stderr} = await runCli(command, 'the cat\n');
    expect([code, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.match(/error: chat: .* has no chat template, .* 'tfjs-owlore generate' /);
    other.remove();
  });

  describe('in a terminal', () => {
    /** Types into it: each text once the screen shows what comes before. */
    async function typing(steps: ReadonlyArray<readonly [shown: string | RegExp, keys: string]>) {
      const stdin = Object.assign(new PassThrough(), {isTTY: true, setRawMode: () => stdin});
      const screen = terminal(40);
      const done = runProgram(args(...few), {
        ...{stdin, stdout: screen, stderr: screen, loadBackend},
        interruption: new Interruption(),
      });
      let [from, isOver] = [0, false];
      void done.then(() => (isOver = true));
      for (const [shown, keys] of steps) {
        let found: RegExpExecArray | null = null;
        while (!found) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          const isLast = isOver;
          found = new RegExp(shown, 's').exec(screen.text.slice(from));
          if (!found && isLast) throw new Error(`ended before it showed ${shown}: ${screen.text}`);
        }
        from += found.index + found[0].length;
        stdin.write(keys);
      }
      return {code: await done, text: screen.text};
    }
    const PROMPT = '> \\u001b';

    it('asks for a line, edits it, and leaves at Ctrl-D', async () => {
      const {code, text} = await typing([
        ['leaves\\..*> ', 'the dog\u007f\u007f\u007fcat\r'],
        ['\\(cut off; --max-new-tokens\\s+allows\\s+no\\s+more\\).*> ', '\u001b[A'],
        ['the cat', '\u0003'],
        [PROMPT, '\u0004'],
      ]);
      expect(code).to.equal(0);
      // between words, where the line of 40 cells ends
      expect(text.replace(/\s+/g, ' ')).to.match(/1 answer, 6 tokens in [\d.]+ s .* $/);
    });

    it('shows lines that are pasted together one by one, each with its answer below it', async () => {
      // with the prompt as wide as the terminal
      const wide = `and ${'x'.repeat(34)}`;
      const {code, text} = await typing([
        ['leaves\\..*> ', 'the cat\rsat\r\ton the\u0007 mat\r' + wide],
        ['(cut off.*){3}> .*and', '\u0003'],
        [PROMPT, '\u0004'],
      ]);
      expect(code).to.equal(0);
      // eslint-disable-next-line no-control-regex -- what a terminal obeys
      const shown = text.replaceAll(/\u001b\[[\d;]*[A-Za-z]/g, '').replaceAll('\r', '');
      const answer = String.raw`[^>]*\(cut off;[^>]*`;
      expect(shown).to.match(
        new RegExp(`> the cat\n${answer}> sat\n${answer}> .?on the.* mat\n${answer}> and`),
      );
      expect(shown).not.to.include('\u0007');
      // nothing goes up, over the last answer
      const last = text.slice(text.lastIndexOf('(cut off'), text.lastIndexOf(wide));
      // eslint-disable-next-line no-control-regex -- as above
      expect(last).not.to.match(/\u001b\[\d*A/);
      expect(shown.replace(/\s+/g, ' ')).to.match(/3 answers, 18 tokens in /);
    });

    it('leaves at Ctrl-C in an empty line', async () => {
      const {code, text} = await typing([['leaves\\..*> ', '\u0003']]);
      expect(code).to.equal(0);
      expect(text).to.match(/> .*\n$/);
    });
  });

  it('ends an answer at Ctrl-C, and goes on', async function () {
    this.timeout(120_000);
    const other = await createModelFolder({maxPositionEmbeddings: 100_000});
    const child = start(['chat', '--model', other.model, '--backend', 'wasm']);
    const done = resultOf(child);
    child.stdin!.write('the cat\n');
    // the answer has begun; what is typed meanwhile comes after it
    child.stdout!.once('data', () => {
      child.kill('SIGINT');
      child.stdin!.end('/help\n/exit\n');
    });
    const {code, stdout, stderr} = await done;
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/\S.*\n$/s);
    expect(stderr).to.match(/\n\(stopped\)\n\/reset +begins .*\n1 answer, \d+ tokens in .*\n$/s);
    other.remove();
  });
});
