import {existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {readConfigFile} from '../../src/cli/config_file';
import {
  choice,
  folder as folderOption,
  number,
  onlyOnCommandLine,
  type OptionDescription,
} from '../../src/cli/options';
import {commands} from '../../src/cli/program';
import {UsageError} from '../../src/cli/usage_error';
import {runCli} from './run_cli';

const options = {
  topK: number('tokens', {integer: true, min: 1}),
  kind: choice('which', ['a', 'b']),
  resume: onlyOnCommandLine(folderOption('which run')),
};

describe('readConfigFile', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-config-'))));
  after(() => rmSync(folder, {recursive: true}));

  const read = (content: string) => {
    const path = join(folder, 'run.json');
    writeFileSync(path, content);
    return readConfigFile(path, options);
  };

  it('takes options by their names; null is none', () => {
    const {name, values} = read('{"topK": 3, "kind": null}');
    expect(name).to.equal(join(folder, 'run.json'));
    expect(values).to.deep.equal({topK: 3});
    expect(read('{}').values).to.deep.equal({});
  });

  it('reads no more than a JSON file may have', () => {
    const path = join(folder, 'large.json');
    writeFileSync(path, '{}');
    truncateSync(path, 100_000_001);
    expect(() => readConfigFile(path, options)).to.throw(
      UsageError,
      /large\.json has 100000001 bytes; no more than 100000000 are read/,
    );
  });

  it('takes a file with a byte order mark', () => {
    expect(read('\uFEFF{"topK": 3}\r\n').values).to.deep.equal({topK: 3});
    expect(() => read('\uFEFF\uFEFF{}')).to.throw(UsageError, /is not JSON/);
    expect(() => read('\uFEFF')).to.throw(UsageError, /is not JSON/);
  });

  for (const [content, message] of [
    ['{"topk": 3}', /run\.json: unknown option 'topk'; did you mean 'topK'\?/],
    ['{"top-k": 3}', /unknown option 'top-k'; did you mean 'topK'\?/],
    ['{"topK": "3"}', /run\.json: topK must be an integer >= 1; got '3'/],
    ['{"topK": 0}', /run\.json: topK must be an integer >= 1; got 0/],
    ['{"kind": "c"}', /run\.json: kind must be one of 'a', 'b'; got 'c'/],
    [
      '{"resume": "."}',
      /run\.json: resume is possible on the command line only, by --resume; leave/,
    ],
    ['{"topK": 1, "topK": 2}', /run\.json has "topK" twice/],
    ['{"topK": 1,}', /run\.json is not JSON/],
    ['[]', /run\.json is not a JSON object/],
    ['', /run\.json is not JSON/],
  ] as const) {
    it(`refuses ${content || 'an empty file'}`, () => {
      expect(() => read(content)).to.throw(UsageError, message);
    });
  }
});

/** What is of the file system, by what the help calls its value: whether a config may name it. */
const PATHS: Readonly<Record<string, 'read' | 'made new' | 'refused'>> = {
  'finetune: model <model>': 'read',
  'finetune: adapter <folder>': 'read',
  'finetune: chatTemplate <file>': 'read',
  'finetune: data <file|url>': 'read',
  'finetune: validation <file|url>': 'read',
  'finetune: scores <name|file>': 'read',
  'finetune: output <folder>': 'made new',
  'finetune: resume <folder>': 'refused',
  'finetune: python <program>': 'refused',
  'estimate: model <model>': 'read',
  'scores: model <model>': 'read',
  'scores: adapter <folder>': 'read',
  'scores: data <file|url>': 'read',
  'scores: output <file>': 'refused',
  'scores: chatTemplate <file>': 'read',
  'generate: model <model>': 'read',
  'generate: adapter <folder>': 'read',
  'generate: chatTemplate <file>': 'read',
  'generate: promptFile <file>': 'read',
  'generate: prompts <file>': 'read',
  'generate: output <file>': 'refused',
  'chat: model <model>': 'read',
  'chat: adapter <folder>': 'read',
  'chat: chatTemplate <file>': 'read',
  'evaluate: model <model>': 'read',
  'evaluate: adapter <folder>': 'read',
  'evaluate: chatTemplate <file>': 'read',
  'evaluate: data <file|url>': 'read',
  'evaluate: shotsFrom <file|url>': 'read',
  'merge: model <model>': 'read',
  'merge: adapter <folder>': 'read',
  'merge: output <folder>': 'refused',
  'export: model <model>': 'read',
  'export: output <file>': 'refused',
};

describe('the paths that a config may name', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-config-'))));
  after(() => rmSync(folder, {recursive: true}));

  // every option that takes any text
  const all = commands.flatMap(({name, options}) =>
    Object.entries<OptionDescription<unknown>>(options).flatMap(([option, description]) => {
      const {placeholder, choices} = description;
      const takesText =
        placeholder !== null &&
        !choices &&
        !/^[<[](n|text|bytes|names|patience)[|>\]]/.test(placeholder);
      return takesText ? [{command: name, option, description}] : [];
    }),
  );

  it('are those of SECURITY.md, for each option of each command', () => {
    const named = all.map(
      ({command, option, description}) => `${command}: ${option} ${description.placeholder}`,
    );
    expect(named.sort()).to.deep.equal(Object.keys(PATHS).sort());
  });

  for (const {command, option, description} of all) {
    const what = PATHS[`${command}: ${option} ${description.placeholder}`];
    if (what !== 'refused') continue;
    it(`are not ${option} of ${command}, by which nothing is made`, async () => {
      const [config, target] = [join(folder, 'config.json'), join(folder, 'profile')];
      writeFileSync(config, JSON.stringify({[option]: target}));
      const {code, stderr} = await runCli([command, '--config', config]);
      expect([code, stderr]).to.deep.equal([
        2,
        `error: ${config}: ${option} is possible on the command line only, by --${option}; leave it out\n`,
      ]);
      expect(existsSync(target)).to.equal(false);
    });
  }
});
