import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import {flagOf, type OptionDescription} from '../../src/cli/options';
import {commands, runProgram} from '../../src/cli/program';
import {defaultBackend} from '../support/backends';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, terminal} from './run_cli';

const root = new URL('../../', import.meta.url);

/** The option itself at the start of a line of the help. */
const inHelp = (name: string): RegExp => new RegExp(`^ +(-h, )?${flagOf(name)}( |$)`, 'm');

/** What stands for the value of an option that is a path, as the help has it. */
const pathPlaceholders = ['<model>', '<file>', '<file|url>', '<folder>', '<name|file>'];

/** The flags of a command whose values are paths, and what stands for each. */
function pathFlags({options}: (typeof commands)[number]): Map<string, string> {
  const described = Object.entries<OptionDescription<unknown>>(options);
  const paths = described.flatMap(([name, {placeholder}]): Array<[string, string]> =>
    placeholder !== null && pathPlaceholders.includes(placeholder)
      ? [[flagOf(name), placeholder]]
      : [],
  );
  return new Map([...paths, ['--config', '<file>']]);
}

/**
 * Runs a command line with paths that are there in the place of its own, and an option at its end that does not exist. That is what
 * the error must be about: the value of an option is looked at as soon as it is read, unknown options after all values.
 */
async function expectUnderstood(args: string, there: ModelFolder): Promise<void> {
  const words = args
    .replaceAll(/ < \S+$| …/g, '') // what comes by stdin, and what a page leaves out
    .match(/'[^']*'|\S+/g)!
    .map((word) => word.replaceAll("'", ''));
  const command = commands.find(({name}) => name === words[0]);
  expect(command, args).not.to.equal(undefined);
  const paths = pathFlags(command!);
  const inPlace = words.map((word, i) => {
    const placeholder = paths.get(words[i - 1] ?? '');
    if (placeholder === undefined) return word;
    if (placeholder === '<name|file>' && !word.includes('.')) return word;
    if (placeholder === '<model>') return there.model;
    return placeholder === '<folder>' ? there.path : join(there.model, 'config.json');
  });
  const {code, stderr} = await runCli([...inPlace, '--no-such-option']);
  expect([code, stderr], args).to.deep.equal([2, "error: unknown option '--no-such-option'\n"]);
}

describe('tfjs-owlore', () => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  it('lists its commands', async () => {
    const {code, stdout, stderr} = await runCli(['--help']);
    expect([code, stderr]).to.deep.equal([0, '']);
    for (const {name, summary} of commands) {
      expect(stdout).to.match(new RegExp(`^ +${name} +${summary}$`, 'm'));
    }
  });

  it('helps with a command as its --help does', async () => {
    const {code, stdout} = await runCli(['help', 'finetune']);
    expect([code, stdout]).to.deep.equal([0, (await runCli(['finetune', '--help'])).stdout]);
    expect((await runCli(['help'])).stdout).to.equal((await runCli(['--help'])).stdout);
    const unknown = await runCli(['help', 'finetun']);
    expect(unknown.code).to.equal(2);
    expect(unknown.stderr).to.match(
      /\nerror: unknown command 'finetun' \(Did you mean finetune\?\)\n$/,
    );
  });

  it('says its version', async () => {
    const {version} = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
      version: string;
    };
    expect(await runCli(['--version'])).to.deep.equal({
      code: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it('shows the help if it is not told what to do', async () => {
    const {code, stdout, stderr} = await runCli([]);
    expect([code, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.match(/^Usage: tfjs-owlore <command> \[options\]/);
  });

  for (const command of commands) {
    describe(command.name, () => {
      it('has a help on all of its options, as wide as the terminal', async () => {
        const {code, stdout, stderr} = await runCli([
          ...[command.name, '--help'],
          ...(command.mostUsed ? ['all'] : []),
        ]);
        expect([code, stderr]).to.deep.equal([0, '']);
        for (const name of [...Object.keys(command.options), 'config', 'json', 'help']) {
          expect(stdout).to.match(inHelp(name));
        }
        const needed = Object.values<OptionDescription<unknown>>(command.options).filter(
          ({isRequired}) => isRequired,
        );
        expect(needed.length).to.be.above(0);
        expect(stdout.split('(required)')).to.have.length(1 + needed.length);
        expect(stdout).to.include('Examples:\n');
        const help = stdout.slice(0, stdout.indexOf('Examples:'));
        expect(Math.max(...help.split('\n').map(({length}) => length))).to.be.within(60, 100);
      });

      const {mostUsed} = command;
      if (mostUsed) {
        it('has a help on what is used most, which says how to see the rest', async () => {
          const {code, stdout} = await runCli([command.name, '--help']);
          expect(code).to.equal(0);
          for (const name of [...Object.keys(command.options), 'config', 'json', 'help']) {
            const isShown = mostUsed.includes(name) || !(name in command.options);
            expect(inHelp(name).test(stdout), name).to.equal(isShown);
          }
          expect(stdout).to.match(/\n\n.*--help all.*\n\nExamples:\n/);
        });
      }

      it('has examples that it understands', async () => {
        expect(command.examples.length).to.be.above(0);
        for (const [, args] of command.examples) await expectUnderstood(args, folder);
      });

      it('misses the model', async () => {
        const {code, stdout, stderr} = await runCli([command.name]);
        expect([code, stdout]).to.deep.equal([2, '']);
        expect(stderr).to.match(new RegExp(`^error: ${command.name}: --model is missing: .+\n$`));
      });
    });
  }

  for (const [args, message] of [
    [['train'], /^error: unknown command 'train' \(Did you mean finetune\?\)\n$/],
    [['finetun'], /^error: unknown command 'finetun' \(Did you mean finetune\?\)\n$/],
    [['xyzzy'], /^error: unknown command 'xyzzy'; the commands are finetune, estimate, .*\n$/],
    [
      ['finetune', '--lr', '1'],
      /^error: unknown option '--lr' \(Did you mean --learning-rate\?\)\n$/,
    ],
    [
      ['generate', '--model', join(import.meta.dirname, 'program_test.ts'), '--prompt', 'x'],
      /^error: generate: --model must be the folder of a model, .*; '.*program_test.ts' is none of these\n$/,
    ],
    [['generat'], /^error: unknown command 'generat' \(Did you mean generate\?\)\n$/],
    [
      ['generate', '--promt', 'x'],
      /^error: unknown option '--promt' \(Did you mean --prompt\?\)\n$/,
    ],
    [['generate', 'x', '--seed', '1'], /^error: generate: 'x' is the value of no option; .*\n$/],
    [['generate', '--model'], /^error: option '--model <model>' argument missing\n$/],
    [
      ['generate', '--seed', '1.5'],
      /^error: generate: --seed must be an integer >= 0 .*got 1\.5\n$/,
    ],
    [
      ['generate', '--model', 'no'],
      /^error: generate: --model must be the folder of a model, .* there is no such folder or file: 'no'\n$/,
    ],
    [['generate', '--config', 'no.json'], /--config: there is no file 'no\.json'\n$/],
    [['generate', '--backend', 'gpu'], /--backend must be one of 'auto', .*'webgpu'; got 'gpu'\n$/],
  ] as const) {
    it(`refuses '${args.join(' ')}' in a line, exit code 2`, async () => {
      const plain = await runCli(args);
      expect([plain.code, plain.stdout]).to.deep.equal([2, '']);
      expect(plain.stderr).to.match(message);

      const json = await runCli([args[0], '--json', ...args.slice(1)]);
      if (args.length === 1) return; // an unknown command has no option --json
      expect([json.code, json.stderr]).to.deep.equal([2, plain.stderr]);
      const error = plain.stderr.slice('error: '.length, -1);
      expect(json.stdout).to.equal(`${JSON.stringify({error})}\n`);
    });
  }

  for (const [name, count] of [
    ['docs/command-line.md', 10],
    ['docs/guide.md', 6],
    ['docs/torch.md', 4],
  ] as const) {
    it(`understands the command lines of ${name}`, async () => {
      const page = readFileSync(new URL(name, root), 'utf8').replaceAll('\\\n', ' ');
      const lines = [...page.matchAll(/^ *npx tfjs-owlore (.*)$/gm)].map(([, args]) => args!);
      expect(lines.length).to.be.at.least(count);
      for (const args of lines) await expectUnderstood(args, folder);
    });
  }

  it('takes options from a file; those of the command line win', async () => {
    const config = folder.write(
      'generate.json',
      JSON.stringify({
        model: folder.model,
        prompt: 'the cat',
        maxNewTokens: 3,
        backend: defaultBackend,
      }),
    );
    const ids = async (...more: string[]): Promise<number[]> => {
      const {code, stdout} = await runCli(['generate', '--config', config, '--json', ...more]);
      expect(code).to.equal(0);
      return (JSON.parse(stdout) as {ids: number[]}).ids;
    };
    const fromFile = await ids();
    expect(fromFile.length).to.be.within(1, 3);
    expect(await ids('--max-new-tokens', '2')).to.deep.equal(fromFile.slice(0, 2));
  });

  it('names the file of a wrong option', async () => {
    const config = folder.write('wrong.json', '{"topP": 2}');
    const {code, stderr} = await runCli(['generate', '--config', config]);
    expect(code).to.equal(2);
    expect(stderr).to.equal(`error: ${config}: topP must be a number > 0 and <= 1; got 2\n`);
  });

  it('says what failed in a line, exit code 1; with DEBUG where', async () => {
    const empty = folder.write('empty.jsonl', '\n');
    const args = [
      'evaluate',
      '--model',
      folder.model,
      '--data',
      empty,
      '--backend',
      defaultBackend,
    ];
    const {code, stdout, stderr} = await runCli(args);
    expect([code, stdout]).to.deep.equal([1, '']);
    expect(stderr).to.match(/^error: .*empty\.jsonl is empty\n$/m);
    process.env['DEBUG'] = '1';
    const verbose = await runCli(args).finally(() => Reflect.deleteProperty(process.env, 'DEBUG'));
    expect(verbose.code).to.equal(1);
    expect(verbose.stderr).to.match(/Error: .*is empty\n +at .*\.ts:\d+/);
  });

  it('says that a backend is not there', async () => {
    const stdout = terminal();
    const code = await runProgram(
      ['generate', '--model', folder.model, '--prompt', 'x', '--backend', 'tensorflow'],
      {stdin: process.stdin, stdout, stderr: stdout, loadBackend: async () => false},
    );
    expect(code).to.equal(1);
    expect(stdout.text).to.include("error: there is no backend 'tensorflow' on this machine");
  });

  it('shows headings in bold where a terminal can', async () => {
    const stdout = terminal(60);
    const {stdin} = process;
    expect(await runProgram(['--help'], {stdin, stdout, stderr: stdout})).to.equal(0);
    expect(stdout.text).to.include('\u001B[1mCommands:\u001B[22m');
    expect((await runCli(['--help'])).stdout).not.to.include('\u001B');
  });

  it('calibrates and evaluates on the same file', async () => {
    const data = folder.writeLines('texts.jsonl', texts(4));
    for (const command of ['scores', 'evaluate']) {
      const args = [command, '--model', folder.model, '--data', data, '--backend', defaultBackend];
      expect((await runCli(args)).code).to.equal(0);
    }
  });
});
