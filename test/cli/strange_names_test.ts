import {cpSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {expect} from 'chai';
import {runProgram} from '../../src/cli/program';
import {loadBackend} from '../../tools/load_backend';
import {createModelFolder, type ModelFolder} from './model_folder';
import {terminal} from './run_cli';

/** Sets the title, clears the screen, rings, deletes, and turns lines around; what a file's name may have. */
const HOSTILE =
  'x\u001b]0;y\u0007\u001b[2J\u007f\u0080\u0085\u009b2J\u009f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069z';
/** Such a name that ends a line, and says something of its own in the next. */
const NAME = `${HOSTILE}\nforged`;
/** None of them may reach a terminal; of escapes this library writes others itself. */
const OBEYED =
  // eslint-disable-next-line no-control-regex -- they are what it looks for
  /\u001b(?:\]|\[2J)|[\u0007\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** What two terminals show of a command. */
async function runInTerminals(args: readonly string[]): Promise<{stdout: string; stderr: string}> {
  const [stdout, stderr] = [terminal(), terminal()];
  stdout.columns = stderr.columns = 10_000; // so that no line is broken
  const stdin = Object.assign(Readable.from([`${HOSTILE}\n`]), {isTTY: false});
  await runProgram(args, {stdin, stdout, stderr, loadBackend});
  return {stdout: stdout.text, stderr: stderr.text};
}

describe('names and texts with control characters', function () {
  this.timeout(240_000);
  let folder: ModelFolder;
  let model: string;
  let data: string;
  let prompts: string;
  let refusing: string;
  before(async () => {
    folder = await createModelFolder();
    model = join(folder.path, NAME);
    cpSync(folder.model, model, {recursive: true});
    const lines = Array.from({length: 6}, () => ({text: `the cat ${HOSTILE} sat`}));
    data = folder.writeLines(`${NAME}.jsonl`, lines);
    prompts = folder.writeLines(`prompts${HOSTILE}.jsonl`, [{prompt: HOSTILE}]);
    // what it says comes back in an error
    refusing = join(folder.path, `refusing${HOSTILE}`);
    cpSync(model, refusing, {recursive: true});
    const template = `{{ raise_exception('${HOSTILE}' ~ messages[0].content) }}`;
    writeFileSync(join(refusing, 'chat_template.jinja'), template);
  });
  after(() => folder.remove());

  /** The arguments of each command, and of errors that quote what they are given. */
  function commands(): Record<string, string[]> {
    const on = (path: string): string[] => ['--model', path, '--backend', 'cpu'];
    const inFolder = (name: string): string => join(folder.path, name + NAME);
    const short = ['--max-length', '16'];
    return {
      estimate: ['estimate', ...on(model), ...short],
      scores: ['scores', ...on(model), '--data', data, '--output', inFolder('scores')],
      generate: ['generate', ...on(model), '--prompt', HOSTILE, '--max-new-tokens', '4'],
      'generate, of a file': [
        ...['generate', ...on(model), '--prompts', prompts, '--max-new-tokens', '2'],
        ...['--output', inFolder('texts')],
      ],
      chat: ['chat', ...on(model), '--max-new-tokens', '2'],
      evaluate: ['evaluate', ...on(model), '--data', data, ...short],
      finetune: [
        ...['finetune', ...on(model), '--data', data, '--output', inFolder('run')],
        ...['--steps', '2', '--overwrite', ...short],
      ],
      'a template that refuses': ['generate', ...on(refusing), '--chat', '--prompt', HOSTILE],
      'a model that is not there': ['scores', ...on(inFolder('none')), '--data', data],
      'data that are not there': ['evaluate', ...on(model), '--data', inFolder('none')],
      'lines that are no JSON': [
        'evaluate',
        ...on(model),
        '--data',
        refusing + '/chat_template.jinja',
      ],
      'an option that does not exist': ['scores', `--mod${HOSTILE}`, 'a'],
      'a value that does not exist': ['scores', ...on(model), '--kind', HOSTILE],
      'a command that does not exist': [HOSTILE],
      'options that are no JSON': ['finetune', '--config', data],
    };
  }

  for (const isJson of [false, true]) {
    it(`are shown, and not obeyed${isJson ? ', with --json' : ''}`, async () => {
      for (const [what, args] of Object.entries(commands())) {
        const {stdout, stderr} = await runInTerminals([...args, ...(isJson ? ['--json'] : [])]);
        expect(stdout + stderr, what).to.include('\\u202e');
        for (const text of [stdout, stderr]) {
          expect(text, what).not.to.match(/^\s*forged/m);
          expect(OBEYED.exec(text)?.[0], `${what}: ${JSON.stringify(text)}`).to.equal(undefined);
        }
        if (!isJson) continue;
        const {error} = JSON.parse(stdout) as {error?: string};
        if (error !== undefined) expect(error, what).to.include(HOSTILE.slice(0, 5));
      }
    });
  }
});
