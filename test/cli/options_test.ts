import {existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {Command} from 'commander';
import {
  addOptions,
  choice,
  file,
  fileOrUrl,
  flag,
  flagOf,
  flagOrNumber,
  modelSource,
  group,
  libraryOption,
  number,
  numberOr,
  outputFile,
  outputFolder,
  readSettings,
  refuseMeaningless,
  required,
  text,
  texts,
  type OptionDescription,
  type Options,
} from '../../src/cli/options';
import {UsageError} from '../../src/cli/usage_error';

const options = {
  maxLength: number('tokens', {integer: true, min: 1, default: 512}),
  topK: number('tokens', {min: 1}),
  tau: numberOr('auto', 'factor', {exclusiveMin: 0, default: 'auto'}),
  kind: choice('which', ['a', 'b'], 'b'),
  stop: texts('ends', '<text>'),
  packing: flag('packed'),
  prompt: text('prompt', '<text>'),
};

/** The settings that a command line gives. */
function read<O extends Options>(
  described: O,
  args: readonly string[],
  values: Record<string, unknown> = {},
): ReturnType<typeof readSettings<O>> {
  const command = new Command('test')
    .exitOverride()
    .configureOutput({outputError: () => undefined});
  addOptions(command, described);
  command.parse(args, {from: 'user'});
  return readSettings(command, described, {name: 'run.json', values});
}

describe('command line options', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'owlore-options-'));
    writeFileSync(join(folder, 'file'), '');
  });
  after(() => rmSync(folder, {recursive: true}));

  it('have their defaults', () => {
    const {settings, given} = read(options, []);
    expect(settings).to.deep.equal({
      ...{maxLength: 512, topK: undefined, tau: 'auto', kind: 'b'},
      ...{stop: [], packing: false, prompt: undefined},
    });
    expect([...given]).to.deep.equal([]);
  });

  it('may be on, off or a number', () => {
    const kept = {
      keep: flagOrNumber('keep', 'n', {integer: true, min: 1}),
      packing: flag('packed'),
    };
    const keepOf = (args: string[], config = {}): unknown => read(kept, args, config).settings.keep;
    expect(keepOf([])).to.equal(false);
    expect(keepOf(['--keep'])).to.equal(true);
    expect(keepOf(['--keep', '--packing'])).to.equal(true);
    expect(keepOf(['--keep', '3', '--packing'])).to.equal(3);
    expect(keepOf([], {keep: 2})).to.equal(2);
    expect(keepOf(['--no-keep'], {keep: 2})).to.equal(false);
    for (const wrong of ['0', '1.5', 'x']) {
      expect(() => keepOf(['--keep', wrong])).to.throw(
        `test: --keep, if it has a value, must be an integer >= 1; got ${wrong === 'x' ? "'x'" : wrong}`,
      );
    }
  });

  it('are read by their names in kebab case', () => {
    const {settings, given} = read(options, [
      ...['--max-length', '8', '--top-k', '2.5', '--tau', '3', '--kind', 'a'],
      ...['--stop', 'x', '--stop', '--y', '--packing', '--prompt', ''],
    ]);
    expect(settings).to.deep.equal({
      ...{maxLength: 8, topK: 2.5, tau: 3, kind: 'a'},
      ...{stop: ['x', '--y'], packing: true, prompt: ''},
    });
    expect(given.get('maxLength')).to.equal('test: --max-length');
    expect([...given.keys()]).to.have.members(Object.keys(options));
  });

  it('win over a config file, which wins over the defaults', () => {
    const config = {maxLength: 9, kind: 'a', packing: true, stop: ['x']};
    const args = ['--max-length', '8', '--no-packing', '--stop', 'y'];
    const {settings, given} = read(options, args, config);
    expect(settings).to.include({maxLength: 8, kind: 'a', packing: false});
    expect(settings.stop).to.deep.equal(['y']);
    expect(given.get('kind')).to.equal('run.json: kind');
    expect(given.get('maxLength')).to.equal('test: --max-length');
    expect(given.has('tau')).to.equal(false);
    expect(read(options, [], config).settings).to.deep.include(config);
  });

  for (const [args, message] of [
    [['--max-length', '0'], 'test: --max-length must be an integer >= 1; got 0'],
    [['--max-length', 'x'], "test: --max-length must be an integer >= 1; got 'x'"],
    [['--max-length', ''], "test: --max-length must be an integer >= 1; got ''"],
    [['--max-length', '0x'], "test: --max-length must be an integer >= 1; got '0x'"],
    [['--top-k', 'Infinity'], 'test: --top-k must be a number >= 1; got Infinity'],
    [['--tau', '0'], "test: --tau, if not 'auto', must be a number > 0; got 0"],
    [['--kind', 'c'], "test: --kind must be one of 'a', 'b'; got 'c'"],
  ] as const) {
    it(`are refused by option, value and range: ${args.join(' ')}`, () => {
      expect(() => read(options, args)).to.throw(UsageError, message);
    });
  }

  it('have range or choices, and default, of an option of the library', () => {
    const gamma = {default: 'auto', check: {min: 1}} as const;
    const described = {
      rank: libraryOption('rank', {default: 128, check: {min: 1, integer: true}}),
      gamma: libraryOption<number | 'auto', number>('blocks', gamma, {default: 5}),
      kind: libraryOption('which', {default: 'a', check: ['a', 'b']}),
    };
    expect(read(described, []).settings).to.deep.equal({rank: 128, gamma: 5, kind: 'a'});
    const args = ['--rank', '2', '--gamma', '1.5', '--kind', 'b'];
    expect(read(described, args).settings).to.deep.equal({rank: 2, gamma: 1.5, kind: 'b'});
    for (const [name, value, what] of [
      ['rank', '0', 'an integer >= 1; got 0'],
      ['gamma', 'auto', "a number >= 1; got 'auto'"],
      ['kind', 'c', "one of 'a', 'b'; got 'c'"],
    ] as const)
      expect(() => read(described, [`--${name}`, value])).to.throw(
        UsageError,
        `test: --${name} must be ${what}`,
      );
    expect(() => libraryOption('help', {default: 1, check: () => undefined})).to.throw(
      "libraryOption: 'help' has a check of its own",
    );
  });

  it('are checked as values, too', () => {
    const refused = (
      option: OptionDescription<never> | Options[string],
      value: unknown,
    ): string => {
      try {
        option.check('run.json', 'option', value);
      } catch (error) {
        return (error as Error).message;
      }
      throw new Error('it was accepted');
    };
    expect(refused(options.maxLength, '8')).to.match(/option must be an integer >= 1; got '8'/);
    expect(refused(options.tau, 'often')).to.match(/got 'often'/);
    expect(refused(options.packing, 'yes')).to.match(/option must be true or false; got 'yes'/);
    expect(refused(options.stop, 'x')).to.match(/option must be a list of texts; got 'x'/);
    expect(refused(options.stop, [1])).to.match(/option must be a text; got 1/);
    expect(refused(options.prompt, 1)).to.match(/option must be a text; got 1/);
    expect(refused(file('f'), folder)).to.equal(
      `run.json: option must be a file; '${folder}' is a folder`,
    );
    expect(refused(outputFile('f'), join(folder, 'file', 'x'))).to.match(
      /must be a folder; '.*file' is a file/,
    );
    if (existsSync('/dev/null')) {
      expect(refused(file('f'), '/dev/null')).to.match(
        /must be a file; '\/dev\/null' is neither that nor a folder, but a pipe or a device/,
      );
    }
    expect(refused(file('f'), 'https://host/x')).to.match(/there is no file/);
    expect(refused(fileOrUrl('f'), join(folder, 'no'))).to.match(/there is no file/);
    for (const url of ['http://', 'https://host/%zz'])
      expect(refused(fileOrUrl('f'), url)).to.equal(`run.json: option: '${url}' is not a URL`);
    for (const none of [
      join(folder, 'no'),
      join(folder, 'no.gguf'),
      './owner/name',
      'owner/name.gguf',
      'owner/a@b@c',
      '',
    ])
      expect(refused(modelSource('f'), none)).to.equal(
        'run.json: option must be the folder of a model, a .safetensors file in one, a GGUF file, the URL of one of them, or its name ' +
          `on the Hugging Face Hub, owner/name or owner/name@revision; there is no such folder or file: '${none}'`,
      );
    expect(refused(modelSource('f'), join(folder, 'file'))).to.match(
      /; '.*file' is none of these$/,
    );
    expect(refused(modelSource('f'), 3)).to.match(/must be a text; got 3/);
    expect(refused(outputFile('f'), join(folder, 'no', 'x'))).to.match(/there is no folder '.*no'/);
    expect(refused(outputFile('f'), folder)).to.match(/must be a file; '.*' is a folder/);
    for (const path of [join(folder, 'file'), join(folder, 'file', 'x', 'y')])
      expect(refused(outputFolder('f'), path)).to.match(/must be a folder; '.*file' is a file/);
    for (const output of [outputFile, outputFolder])
      expect(refused(output('f'), '')).to.equal("run.json: option must be a path; got ''");
    const long = 'x'.repeat(300);
    const deep = join(folder, ...Array<string>(60).fill('y'.repeat(66)));
    if (process.platform !== 'win32') {
      symlinkSync('loop', join(folder, 'loop'));
      for (const [path, why] of [
        [
          join(folder, long),
          /'.*' is longer than a path, or a name in one, may be here; name anot/,
        ],
        [join(folder, 'no', long, 'z'), /is longer than a path/],
        [deep, /is longer than a path/],
        [join(folder, 'loop'), /loop' leads in a circle of links; name another one$/],
        [join(folder, 'loop', 'x'), /leads in a circle of links/],
        ['a\0b', /^run\.json: option: 'a.b' has a NUL in it; name another one$/],
      ] as const) {
        for (const output of [outputFile, outputFolder])
          expect(refused(output('f'), path)).to.match(why);
        expect(refused(file('f'), path)).to.match(/there is no file/);
      }
    }
    for (const [option, value] of [
      [file('f'), join(folder, 'file')],
      [fileOrUrl('f'), 'https://host/x'],
      [modelSource('f'), folder],
      [modelSource('f'), 'HTTP://host/x'],
      [modelSource('f'), 'owner/name@v1'],
      [outputFile('f'), join(folder, 'new')],
      [outputFile('f'), join(folder, 'file')],
      [outputFolder('f'), folder],
      [outputFolder('f'), join(folder, 'no', 'x')],
      [options.tau, 'auto'],
      [options.packing, false],
    ] as const) {
      option.check('run.json', 'option', value);
    }
  });

  it('that are needed are missed with what they are', () => {
    const needed = {model: required(text('the model', '<folder>'))};
    expect(() => read(needed, [])).to.throw(UsageError, 'test: --model is missing: the model');
    expect(read(needed, ['--model', 'm']).settings.model).to.equal('m');
    expect(read(needed, [], {model: 'm'}).settings.model).to.equal('m');
  });

  it('without a meaning are refused if they are given, by where', () => {
    const reasons = {kind: '--tau auto', topK: undefined};
    expect(() => refuseMeaningless(read(options, ['--kind', 'a']).given, reasons)).to.throw(
      UsageError,
      'test: --kind has no meaning with --tau auto',
    );
    expect(() => refuseMeaningless(read(options, [], {kind: 'a'}).given, reasons)).to.throw(
      'run.json: kind has no meaning with --tau auto',
    );
    refuseMeaningless(read(options, ['--top-k', '3']).given, reasons);
  });

  it('stand in the help with their defaults, under their headings', () => {
    const command = new Command('test');
    addOptions(command, {...group('Numbers', {maxLength: options.maxLength}), kind: options.kind});
    const help = command.helpInformation();
    expect(help).to.match(/^Numbers:\n +--max-length <n> +tokens \(default: 512\)$/m);
    expect(help).to.match(/--kind <name> +which \(a or b\) \(default: b\)/);
    expect(help).not.to.include('--no-');
  });

  it('have flags of their names', () => {
    expect(['seed', 'maxNewTokens', 'topP'].map(flagOf)).to.deep.equal([
      ...['--seed', '--max-new-tokens', '--top-p'],
    ]);
  });
});
