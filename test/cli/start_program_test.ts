import {spawnSync} from 'node:child_process';
import {chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import {configOf, finetuneOptions, type FinetuneSettings} from '../../src/cli/finetune_options';
import {commands} from '../../src/cli/program';
import {defaultPython} from '../../src/cli/start_program';
import {pythonEnvironment, pythonFile} from '../../src/cli/torch/python';
import {fastBackend} from '../support/backends';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

/** Ways to run what is elsewhere. */
const STARTS = /['"](?:node:)?(?:child_process|cluster|worker_threads)['"]|\bdlopen\(/;

describe('programs that the command line starts', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let data: string;
  let marker: string;
  let evil: string;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', texts(10));
    marker = join(folder.path, 'was-here');
    evil = folder.write('evil.sh', `#!/bin/sh\ntouch '${marker}'\n`);
    chmodSync(evil, 0o755);
  });
  after(() => folder.remove());

  it('are started in one place, where only an option for programs names one', () => {
    const sources = readdirSync('src', {recursive: true, encoding: 'utf8'})
      .filter((path) => path.endsWith('.ts'))
      .map((path) => [path, readFileSync(join('src', path), 'utf8')]);
    const matching = (pattern: RegExp): string[] =>
      sources.flatMap(([path, text]) => (pattern.test(text!) ? [path!] : [])).sort();
    // the workers of wasm run a text of this library
    const workers = ['kernels/wasm/thread_pool.ts', 'kernels/wasm/thread_worker.ts'];
    expect(matching(STARTS)).to.deep.equal(['cli/start_program.ts', ...workers]);
    // anything else is refused by its type
    const makers = ['cli/options.ts', 'cli/start_program.ts'];
    const casts = matching(/\bas [^;,\n]*\bProgram\b/).filter((path) => path.startsWith('cli/'));
    expect(casts).to.deep.equal(makers);
  });

  for (const {name, options} of commands) {
    for (const [option, description] of Object.entries(options)) {
      const isNamedSo = /python|program|command|script|shell|exec/i.test(
        `${option} ${description.placeholder ?? ''}`,
      );
      if (!description.isProgram && !isNamedSo) continue;
      it(`are named by the command line alone: ${option} of ${name}`, async () => {
        expect(description).to.include({isProgram: true, isOfCommandLine: true});
        const config = folder.write('config.json', JSON.stringify({[option]: evil}));
        const {code, stderr} = await runCli([name, '--config', config]);
        expect([code, stderr]).to.deep.equal([
          2,
          `error: ${config}: ${option} is possible on the command line only, by --${option}; leave it out\n`,
        ]);
        expect(existsSync(marker)).to.equal(false);
      });
    }
  }

  const argsOf = (output: string): string[] => [
    ...['finetune', '--backend', fastBackend, '--model', folder.model, '--data', data],
    ...['--output', output, '--max-length', '12', '--steps', '1'],
  ];

  it('are not those that the folder of a run names, nor is one written there', async () => {
    const output = join(folder.path, 'run');
    expect((await runCli(argsOf(output))).code).to.equal(0);
    const file = join(output, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({...config, engine: 'torch', python: evil}));
    for (const args of [
      ['--resume', output],
      ['--config', file, '--output', join(folder.path, 'again')],
    ]) {
      const {code, stderr} = await runCli(['finetune', ...args]);
      expect([code, stderr]).to.deep.equal([
        2,
        `error: ${file}: python is possible on the command line only, by --python; leave it out\n`,
      ]);
      expect(existsSync(marker)).to.equal(false);
    }
    const defaults = Object.entries(finetuneOptions).map(([name, {default: value}]) => [
      name,
      value,
    ]);
    const settings = {
      ...Object.fromEntries(defaults),
      ...{engine: 'torch', python: evil, resume: output, overwrite: true, force: true},
    } as FinetuneSettings;
    expect(configOf(settings)).to.include({engine: 'torch'}).and.not.include.keys('python');
    for (const [name, {isOfCommandLine}] of Object.entries(finetuneOptions))
      if (isOfCommandLine) expect(configOf(settings)).not.to.include.keys(name);
  });

  it('have a name', async () => {
    for (const python of ['', ' ', 'py\0thon']) {
      const args = [...argsOf(join(folder.path, 'none')), '--engine', 'torch', '--python', python];
      const {code, stderr} = await runCli(args);
      expect(code, stderr).to.equal(2);
      expect(stderr).to.match(/--python must be a program, by its path or its name in PATH; got '/);
    }
  });

  it("are not made of the folder that they run in: the engine's Python", function () {
    if (spawnSync(defaultPython, ['--version']).status !== 0) return this.skip();
    const place = join(folder.path, 'place');
    mkdirSync(place);
    const text = `open(${JSON.stringify(marker)}, 'w').close()\n`;
    for (const name of ['stranger', 'json', 'os', 'torch', 'owlore', 'sitecustomize'])
      writeFileSync(join(place, `${name}.py`), text);
    const before = process.env['PYTHONPATH'];
    const run = (args: string[]): string => {
      process.env['PYTHONPATH'] = `:${before ?? ''}`; // as many have it
      try {
        const options = {cwd: place, env: pythonEnvironment(), encoding: 'utf8'} as const;
        return spawnSync(defaultPython, args, options).stderr;
      } finally {
        if (before === undefined) delete process.env['PYTHONPATH'];
        else process.env['PYTHONPATH'] = before;
      }
    };
    expect(run(['-m', 'stranger'])).to.include('No module named stranger');
    run([pythonFile('launch.py')]);
    run([pythonFile('probe.py')]);
    // it finds its own modules, and not the job
    const own = run([pythonFile('finetune.py'), join(place, 'job.json')]);
    expect(own)
      .to.match(/finetune\.py has failed: /)
      .and.not.include("No module named 'owlore");
    expect(existsSync(marker)).to.equal(false);
  });
});
