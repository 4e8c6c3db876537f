import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {PassThrough} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {layerWeights} from '../../src/checkpoint/parts';
import {PATIENCE} from '../../src/cli/full_disk';
import {Interruption} from '../../src/cli/interruption';
import {exitCodes, runProgram} from '../../src/cli/program';
import {JsonLines, writeBatches} from '../../src/cli/torch/batches_file';
import {optimizerOfJob, weightsOfJob} from '../../src/cli/torch/job';
import {linearDecay, OwLoreOptimizer} from '../../src/index';
import {owloreDefaults} from '../../src/owlore/optimizer/options';
import {updateNames} from '../../src/owlore/optimizer/rules';
import {createLlama} from '../../src/llama';
import {loadBackend} from '../../tools/load_backend';
import {fastBackend, itAtLength} from '../support/backends';
import {start} from './cli_process';
import {goodPackages, withEnvironment, writeFakePython} from './fake_python';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, TextSink, typist, type CliRun} from './run_cli';

interface Entry {
  event: string;
  step?: number;
  state?: string;
  blocks?: string[];
}

function readLog(output: string): Entry[] {
  const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Entry);
}

/** The steps in a log. */
function stepsIn(output: string): Array<number | undefined> {
  return readLog(output).flatMap(({event, step}) => (event === 'step' ? [step] : []));
}

describe('python/owlore', () => {
  it('reads all options of the optimizer that a job has, and no others', () => {
    const {settings} = new OwLoreOptimizer({scale: 1});
    const files = readdirSync('python/owlore').filter((name) => name.endsWith('.py'));
    const read = files.flatMap((name) =>
      Array.from(
        readFileSync(join('python/owlore', name), 'utf8').matchAll(/\boptions\["(\w+)"\]/g),
        ([, option]) => option,
      ),
    );
    expect(Object.keys(optimizerOfJob(settings, 1))).to.have.members([...new Set(read)]);
  });

  it('computes a basis by as many multiplications as src/owlore/optimizer', () => {
    const [python, own] = ['python/owlore/bases.py', 'src/owlore/optimizer/state/basis.ts'].map(
      (file) =>
        Object.fromEntries(
          [
            ...readFileSync(file, 'utf8').matchAll(
              /^(?:export const )?(COLD_START|WARM_START) = (\d+)/gm,
            ),
          ].map(([, name, count]) => [name!, count!] as const),
        ),
    );
    expect(own).to.have.keys('COLD_START', 'WARM_START');
    expect(python).to.deep.equal(own);
  });
});

// scripts/check_torch.ts compares with PyTorch itself; here a program in the place of Python shows what is handed over and brought back
describe('tfjs-owlore finetune --engine torch', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let data: string;
  let python: string;
  let count = 0;
  before(async () => {
    folder = await createModelFolder();
    data = folder.writeLines('texts.jsonl', texts(30));
    python = writeFakePython(folder.path);
  });
  after(() => folder.remove());

  const newOutput = (): string => join(folder.path, `run${count++}`);
  const argsOf = (output: string, ...more: string[]): string[] => [
    ...['finetune', '--backend', fastBackend, '--model', folder.model, '--data', data],
    ...['--output', output, '--max-length', '12', '--batch-size', '5', '--steps', '6'],
    ...['--interval', '2', '--method', 'lisa', '--gamma', '1', ...more],
  ];

  describe('refuses, before anything is written,', () => {
    const refusals: Array<[what: string, message: RegExp, args: string[], found?: object]> = [
      [
        'a Python that is not there',
        /there is no program '\/no\/python'; install Python 3\.11 or newer with torch/,
        ['--python', '/no/python'],
      ],
      [
        'a program that is no Python',
        /'.*fake-python' does not run as Python does; name another one by --python$/,
        [],
        undefined,
      ],
      [
        'a Python that is too old',
        /is Python 3\.8\.2, and 3\.11 or newer is needed; name another one by --python$/,
        [],
        {...goodPackages, python: '3.8.2'},
      ],
      [
        'missing packages',
        /has no torch, no safetensors; install them \(pip install torch transformers safetensors numpy\)/,
        [],
        {...goodPackages, torch: null, safetensors: null},
      ],
      [
        'a torch that does not load',
        /cannot load torch \(no libcudart\); install them/,
        [],
        {...goodPackages, torch: null, problem: 'no libcudart'},
      ],
      [
        'packages that are too old',
        /has torch 2\.5\.1, and 2\.6 or newer is needed; transformers 4\.9\.0, and 4\.56 or newer is needed; install/,
        [],
        {...goodPackages, torch: '2.5.1', transformers: '4.9.0'},
      ],
      [
        'more processes than GPUs',
        /--processes must be at most 2, the GPUs of this machine.*; got 3$/,
        ['--processes', '3'],
        {...goodPackages, gpus: 2},
      ],
      [
        'frozen weights at 16 bits',
        /--frozen-dtype BF16 is not possible with --engine torch; use --engine tfjs$/,
        ['--frozen-dtype', 'BF16'],
        goodPackages,
      ],
      [
        'an update of another paper',
        /--update fira is not possible with --engine torch; use --engine tfjs$/,
        ['--method', 'owlore', '--scores', 'uniform', '--update', 'fira'],
        goodPackages,
      ],
    ];
    for (const [what, message, args, found] of refusals) {
      it(what, async () => {
        const output = newOutput();
        const own = argsOf(output, '--engine', 'torch', '--python', python, ...args);
        const variables = {FAKE_FOUND: found ? JSON.stringify(found) : 'Usage: no JSON'};
        const {code, stderr} = await withEnvironment(variables, () => runCli(own));
        expect(code).to.equal(exitCodes.wrongUsage);
        expect(stderr.trim().split('\n'), stderr).to.have.length(1);
        expect(stderr.trim()).to.match(message);
        expect(existsSync(output)).to.equal(false);
      });
    }

    it('a method that it does not have', async () => {
      const output = newOutput();
      const model = ['--model', folder.model, '--data', data, '--output', output];
      const {code, stderr} = await runCli([
        'finetune',
        ...model,
        '--engine',
        'torch',
        '--method',
        'lora',
      ]);
      expect(code).to.equal(exitCodes.wrongUsage);
      expect(stderr).to.match(
        /--engine torch does not have --method lora; use --engine tfjs, or one of owlore, .*full$/m,
      );
      expect(existsSync(output)).to.equal(false);
    });

    it('Windows', async () => {
      const platform = Object.getOwnPropertyDescriptor(process, 'platform')!;
      Object.defineProperty(process, 'platform', {...platform, value: 'win32'});
      try {
        const {code, stderr} = await runCli(argsOf(newOutput(), '--engine', 'torch'));
        expect(code).to.equal(exitCodes.wrongUsage);
        expect(stderr).to.match(/--engine torch runs on Linux and macOS; on Windows use it in WSL/);
      } finally {
        Object.defineProperty(process, 'platform', platform);
      }
    });

    it('its options with another engine', async () => {
      const {code, stderr} = await runCli(argsOf(newOutput(), '--processes', '2'));
      expect(code).to.equal(exitCodes.wrongUsage);
      expect(stderr).to.match(/--processes has no meaning with --engine tfjs/);
    });
  });

  describe('with a run that goes on', () => {
    let stopped: string;

    /** Runs until there is a step in its log, and then Ctrl-C. */
    async function runUntil(
      step: number,
      output: string,
      args: string[],
      {stdin, stderr} = {
        stdin: Object.assign(new PassThrough(), {isTTY: true}),
        stderr: new TextSink(),
      },
    ): Promise<CliRun> {
      const stdout = new TextSink();
      const interruption = new Interruption();
      const timer = setInterval(() => {
        const log = join(output, 'log.jsonl');
        if (!existsSync(log) || !readFileSync(log, 'utf8').includes(`"step":${step},`)) return;
        clearInterval(timer);
        interruption.receive('SIGINT');
      }, 1);
      const environment = {stdin, stdout, stderr, interruption, loadBackend};
      try {
        const code = await runProgram(args, environment);
        return {code, stdout: stdout.text, stderr: stderr.text};
      } finally {
        clearInterval(timer);
      }
    }

    const torch = (output: string): string[] => [
      ...['finetune', '--resume', output, '--engine', 'torch', '--python', python],
    ];
    const fake = {FAKE_FOUND: JSON.stringify(goodPackages)};

    before(async () => {
      stopped = newOutput();
      const {code, stderr} = await runUntil(1, stopped, argsOf(stopped));
      expect(code, stderr).to.equal(exitCodes.SIGINT);
    });

    /** A copy of the run that was stopped. */
    function copyOfStopped(): string {
      const output = newOutput();
      cpSync(stopped, output, {recursive: true});
      return output;
    }

    it('brings log, block history, model and report to their end', async () => {
      const output = copyOfStopped();
      const {code, stderr} = await withEnvironment(fake, () => runCli(torch(output)));
      expect(code, stderr).to.equal(exitCodes.done);
      expect(stderr).to.match(/training in PyTorch 2\.6\.0, on cpu: 1 process/);
      expect(stepsIn(output)).to.deep.equal([1, 2, 3, 4, 5, 6]);
      expect(readLog(output).at(-1)).to.deep.equal({event: 'end', state: 'done'});
      // the weights have come back
      const answers = readLog(output).filter(({event}) => event === 'answers');
      expect(answers.map(({step}) => step)).to.deep.equal([0, 6]);
      const names = readdirSync(output).filter((name) => !name.startsWith('.'));
      expect(names.sort()).to.deep.equal([
        'block-history.json',
        'config.json',
        'files.jsonl',
        'log.jsonl',
        'model',
        'report.html',
        'torch.log',
      ]);
      const {periods} = JSON.parse(readFileSync(join(output, 'block-history.json'), 'utf8')) as {
        periods: string[][];
      };
      const whole = newOutput();
      expect((await runCli(argsOf(whole))).code).to.equal(exitCodes.done);
      expect(periods).to.deep.equal(
        (
          JSON.parse(readFileSync(join(whole, 'block-history.json'), 'utf8')) as {
            periods: string[][];
          }
        ).periods,
      );
      expect(readFileSync(join(output, 'report.html'), 'utf8')).to.include(
        'in PyTorch, in 1 process',
      );
      const card = readFileSync(join(output, 'model', 'README.md'), 'utf8');
      expect(card).to.include('fine-tuned').and.not.include(python);
      const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as object;
      expect(config).to.include({engine: 'torch', processes: 1}).and.not.include.keys('python');
    });

    it('keeps the model with the lowest held-out loss, and ends when others were not lower', async () => {
      const output = newOutput();
      const own = argsOf(output, '--keep-best', '2', '--evaluate-every', '1');
      const {code} = await runCli(own, null, 'step 1: held-out loss');
      expect(code).to.equal(exitCodes.SIGINT);
      const resumed = await withEnvironment({...fake, FAKE_LOSSES: ',9,0.5,9,9'}, () =>
        runCli([...torch(output), '--json']),
      );
      expect(resumed.code, resumed.stderr).to.equal(exitCodes.done);
      expect(JSON.parse(resumed.stdout)).to.deep.include({steps: 5, savedStep: 3});
      expect(resumed.stderr).to.match(
        /training ended after step 5 of 6: no lower held-out loss in 2 measurements\nkept: the model of step 3, held-out loss 0\.5000\n/,
      );
      expect(readLog(output).slice(-2)).to.deep.equal([
        {event: 'saved', step: 3, loss: 0.5},
        {event: 'end', state: 'done'},
      ]);
    });

    it('stops with a checkpoint, from which this library goes on', async () => {
      const output = copyOfStopped();
      const from = stepsIn(output).length;
      const {code, stderr} = await withEnvironment({...fake, FAKE_STEPS: '2'}, () =>
        runUntil(from + 2, output, torch(output)),
      );
      expect(code, stderr).to.equal(exitCodes.SIGINT);
      expect(stderr).to.match(
        new RegExp(`stopped by SIGINT after step ${from + 2} of 6; to go on: finetune --resume`),
      );
      expect(existsSync(join(output, 'torch'))).to.equal(false);
      const config = join(output, 'config.json');
      const options = JSON.parse(readFileSync(config, 'utf8')) as {data: string};
      const lines = readFileSync(options.data, 'utf8').trimEnd().split('\n');
      const data = folder.write('reversed.jsonl', lines.reverse().join('\n'));
      writeFileSync(config, JSON.stringify({...options, data}));
      for (const args of [torch(output), ['finetune', '--resume', output, '--engine', 'tfjs']]) {
        const other = await withEnvironment(fake, () => runCli(args));
        expect(other.code, other.stderr).to.equal(exitCodes.wrongUsage);
        expect(other.stderr).to.match(/had other data: .*, but others, or in another order;/);
      }
      writeFileSync(config, JSON.stringify(options));
      const back = await runCli(['finetune', '--resume', output, '--engine', 'tfjs']);
      expect(back.code, back.stderr).to.equal(exitCodes.done);
      expect(back.stderr).to.match(new RegExp(`the run goes on from step ${from + 2}`));
      expect(back.stderr).to.match(/it was saved on the backend 'torch', and this is/);
      expect(stepsIn(output)).to.deep.equal([1, 2, 3, 4, 5, 6]);
    });

    it('keeps a training of which the report cannot be written, for both engines to go on', async () => {
      const output = copyOfStopped();
      const report = join(output, 'report.html');
      for (const engine of ['torch', 'torch', 'tfjs']) {
        const args = ['finetune', '--resume', output, '--engine', engine];
        if (engine === 'torch') args.push('--python', python);
        const {code, stderr} = await withEnvironment(fake, () =>
          runCli(args, null, 'the run goes on from', () => mkdirSync(report)),
        );
        rmSync(report, {recursive: true});
        expect(code, stderr).to.equal(exitCodes.failed);
        expect(stderr).to.match(
          /to save its model: finetune --resume .*\nerror: '.*report\.html' is not of this run, and/,
        );
        expect(stepsIn(output)).to.deep.equal([1, 2, 3, 4, 5, 6]);
      }
      const {code, stderr} = await runCli(['finetune', '--resume', output, '--engine', 'tfjs']);
      expect(code, stderr).to.equal(exitCodes.done);
      expect(stderr).to.match(/the run goes on from step 6/);
      expect(
        readLog(output)
          .map(({event}) => event)
          .slice(-4),
      ).to.deep.equal(['step', 'heldOut', 'answers', 'end']);
    });

    describe('where Python finds no room', () => {
      const patience = {...PATIENCE};
      before(() => Object.assign(PATIENCE, {max: 2000, pause: 5}));
      after(() => Object.assign(PATIENCE, patience));

      const models = (output: string): Buffer =>
        readFileSync(join(output, 'model', 'model.safetensors'));

      it('waits for some, and says so once', async () => {
        const [output, other] = [copyOfStopped(), copyOfStopped()];
        const {code, stderr} = await withEnvironment({...fake, FAKE_FULL: '3'}, () =>
          runCli(torch(output), ''),
        );
        expect(code, stderr).to.equal(exitCodes.done);
        const said = stderr.split('\n').filter((line) => line.includes('waiting for room'));
        expect(said).to.have.length(1);
        expect(said[0]).to.match(
          /^--engine torch: cannot write '.*\/torch\/x\.safetensors': No space left on device; waiting for room, for ten minutes at most$/,
        );
        expect((await withEnvironment(fake, () => runCli(torch(other)))).code).to.equal(0);
        expect(models(output)).to.deep.equal(models(other));
      });

      it('ends with an error that names the file where there is none, and goes on later', async () => {
        const output = copyOfStopped();
        PATIENCE.max = 60;
        const {code, stderr} = await withEnvironment({...fake, FAKE_FULL: '1e9'}, () =>
          runCli(torch(output), ''),
        );
        expect(code, stderr).to.equal(exitCodes.failed);
        expect(stderr).to.match(
          new RegExp(
            `error: --engine torch: cannot write '${output}/torch/x.*': No space.*; there was no room for ten minutes, ` +
              `the run goes on by finetune --resume ${output}\n$`,
          ),
        );
        expect(existsSync(join(output, 'torch'))).to.equal(false);
        const resumed = await withEnvironment(fake, () => runCli(torch(output)));
        expect(resumed.code, resumed.stderr).to.equal(exitCodes.done);
        expect(stepsIn(output)).to.deep.equal([1, 2, 3, 4, 5, 6]);
      });

      for (const part of ['a checkpoint', 'the model']) {
        it(`goes on in another folder that is typed into a terminal: ${part}`, async () => {
          const [output, other] = [copyOfStopped(), newOutput()];
          const from = stepsIn(output).length;
          const isStopped = part === 'a checkpoint';
          const variables = {...fake, FAKE_FULL: '2', ...(isStopped && {FAKE_STEPS: '1'})};
          // at first there is no room
          const {code, stderr} = await withEnvironment(variables, () =>
            runUntil(
              isStopped ? from + 1 : 99,
              output,
              torch(output),
              typist(['\n', `${other}\n`]),
            ),
          );
          expect(code, stderr).to.equal(isStopped ? exitCodes.SIGINT : exitCodes.done);
          expect(stderr.replace(/\s+/g, ' ')).to.include('type the path of another folder');
          if (isStopped) {
            const resumed = await withEnvironment(fake, () => runCli(torch(other)));
            expect(resumed.code, resumed.stderr).to.equal(exitCodes.done);
            expect(resumed.stderr).to.include(`goes on from step ${from + 1}\n`);
          }
          expect(stepsIn(other)).to.deep.equal([1, 2, 3, 4, 5, 6]);
          expect(existsSync(join(other, 'torch'))).to.equal(false);
          for (const each of [output, other])
            expect(existsSync(join(each, '.lock')), each).to.equal(false);
          // what is left goes on as a run that was killed
          const old = await withEnvironment(fake, () => runCli(torch(output)));
          expect(old.code, old.stderr).to.equal(exitCodes.done);
          expect(models(other)).to.deep.equal(models(output));
        });
      }
    });

    it('refuses other options than the run began with, before a weight is read and Python trains', async () => {
      const output = copyOfStopped();
      const file = join(output, 'config.json');
      const config = JSON.parse(readFileSync(file, 'utf8')) as object;
      const log = readFileSync(join(output, 'log.jsonl'), 'utf8');
      const model = newOutput();
      cpSync(folder.model, model, {recursive: true});
      rmSync(join(model, 'model.safetensors'));
      for (const changed of [{steps: 9}, {learningRate: 0.5}, {clipNorm: 7}, {seed: 77}]) {
        writeFileSync(file, JSON.stringify({...config, model, ...changed}));
        const {code, stderr} = await withEnvironment(fake, () => runCli(torch(output)));
        expect(code, stderr).to.equal(exitCodes.wrongUsage);
        const [[name, value]] = Object.entries(changed) as [[string, number]];
        expect(stderr).to.match(new RegExp(`had other options: ${name} was .* and is ${value};`));
        expect(readFileSync(join(output, 'log.jsonl'), 'utf8')).to.include(log);
        expect(existsSync(join(output, 'torch.log'))).to.equal(false);
      }
    });

    itAtLength('refuses what it cannot have been told, and leaves the run as it was', async () => {
      const output = copyOfStopped();
      const log = readFileSync(join(output, 'log.jsonl'), 'utf8');
      const step = {event: 'step', step: 1, loss: 2, learningRate: 1, blocks: [], seconds: 1};
      const whole = {...step, step: stepsIn(output).length + 1, peakBytes: 1, stateBytes: 1};
      const optimizer = {counters: {}, files: []};
      const checkpoint = {event: 'checkpoint', model: 'MODEL', optimizer, stateBytes: 1};
      const early = {...checkpoint, step: whole.step - 1};
      /** After the first step. */
      const second = (event: object): string =>
        [whole, event].map((e) => JSON.stringify(e)).join('\n');
      for (const [said, told] of [
        ['{"event": "step", "step": 2', /an event of finetune\.py is not JSON/],
        [{...step, peakBytes: 1}, /an event of finetune\.py: stateBytes must be/],
        [{...whole, loss: '2'}, /an event of finetune\.py has a line that is no entry of a log/],
        [{...whole, step: 9}, /finetune\.py has sent 'step' of step 9 after step \d of 6/],
        [{...whole, blocks: ['x']}, /has sent blocks that the model does not have \(x\) after/],
        [{event: 'done', skipped: 0}, /an event of finetune\.py: model must be a list of layers/],
        [{event: 'done', model: [], skipped: 0}, /finetune\.py has sent 'done' after step \d of 6/],
        [
          second({...checkpoint, step: whole.step, model: []}),
          /has sent other weights than those of/,
        ],
        [early, /has sent 'checkpoint' of step \d after step \d of 6/],
        [
          second({...checkpoint, step: whole.step}),
          /a checkpoint of finetune\.py: optimizer\.count/,
        ],
        [{event: 'stopped', step: 5}, /has sent 'stopped' of step 5 after step \d of 6/],
        ['no event', /Python ended after step \d of 6, and was not told to/],
      ] as const) {
        const text = typeof said === 'string' ? said : JSON.stringify(said);
        const {code, stderr} = await withEnvironment({...fake, FAKE_SAYS: text}, () =>
          runCli(torch(output)),
        );
        expect(code, text).to.equal(exitCodes.failed);
        expect(stderr.trim().split('\n').at(-1), text).to.match(/^error: --engine torch: /);
        expect(stderr.trim().split('\n').at(-1), text).to.match(told);
        expect(existsSync(join(output, 'torch'))).to.equal(false);
      }
      expect(readFileSync(join(output, 'log.jsonl'), 'utf8')).to.include(log.split('\n')[1]);
      const {code, stderr} = await withEnvironment(fake, () => runCli(torch(output)));
      expect(code, stderr).to.equal(exitCodes.done);
      expect(stepsIn(output)).to.deep.equal([1, 2, 3, 4, 5, 6]);
    });

    it('leaves the folder locked while Python lives, also when it is killed itself', async () => {
      const output = copyOfStopped();
      const file = join(folder.path, 'pid');
      const child = start(torch(output), {env: {...fake, FAKE_HANG: file}});
      const ended = new Promise((done) => child.once('exit', done));
      while (!existsSync(file) || readFileSync(file, 'utf8') === '') await sleep(20);
      child.kill('SIGKILL');
      await ended;
      const pid = Number(readFileSync(file, 'utf8'));
      const second = await withEnvironment(fake, () => runCli(torch(output)));
      expect(second.code).to.equal(exitCodes.wrongUsage);
      expect(second.stderr).to.include(`is in use by process ${pid} since`);
      process.kill(pid, 'SIGKILL');
      const isThere = (): boolean => {
        try {
          return process.kill(pid, 0) && !readFileSync(`/proc/${pid}/stat`).includes(') Z ');
        } catch {
          return false;
        }
      };
      while (isThere()) await sleep(20);
      const {code, stderr} = await withEnvironment(fake, () => runCli(torch(output)));
      expect(code, stderr).to.equal(exitCodes.done);
    });

    it('says in a line why Python failed, and leaves the run as it was', async () => {
      const output = copyOfStopped();
      const steps = stepsIn(output);
      // the log goes on, and the first process that fails takes others with it
      for (const [error, told] of [
        ['no memory left', 'no memory left'],
        ['no disk left\nfinetune.py has failed: connection closed', 'no disk left'],
        ['connection closed\nfinetune.py has failed: no disk left', 'no disk left'],
      ] as const) {
        const {code, stderr} = await withEnvironment({...fake, FAKE_ERROR: error}, () =>
          runCli(torch(output)),
        );
        expect(code).to.equal(exitCodes.failed);
        expect(stderr.trim().split('\n').at(-1)).to.match(
          new RegExp(
            `^error: --engine torch: ${told} \\(.*torch\\.log has all that Python said\\)$`,
          ),
        );
      }
      expect(readFileSync(join(output, 'torch.log'), 'utf8')).to.match(/^Traceback/);
      expect(stepsIn(output)).to.deep.equal(steps);
      expect(existsSync(join(output, 'torch'))).to.equal(false);
    });
  });
});

describe('a job for PyTorch', () => {
  it('says of each weight what it is in transformers, and how it trains', () => {
    const sizes = {hiddenSize: 8, intermediateSize: 12, numHiddenLayers: 2};
    const model = createLlama({vocabSize: 20, ...sizes, numAttentionHeads: 2});
    const learningRates = [{variables: /norm/, factor: 3}];
    const options = {rank: 2, weightDecay: 0.5, learningRates};
    const optimizer = new OwLoreOptimizer(options);
    const weights = weightsOfJob({model, optimizer, callback: null}, layerWeights('job', model));
    const told = new Map(weights.map(({tensor, variable: _, ...rest}) => [tensor, rest]));
    const block = 'model.layers.0';
    const common = {trains: true, rateFactor: 1};
    expect(told.get('model.layers.0.mlp.up_proj.weight')).to.deep.equal({
      ...{...common, block, transposed: true, weightDecay: 0.5},
      projection: {rank: 2, side: 'left'},
    });
    expect(told.get('model.embed_tokens.weight')).to.deep.equal({
      ...{...common, block: null, transposed: false, weightDecay: 0.5, projection: null},
    });
    expect(told.get('model.layers.0.input_layernorm.weight')).to.deep.equal({
      ...{...common, block, transposed: false, weightDecay: 0, projection: null, rateFactor: 3},
    });
    optimizer.dispose();
    model.dispose();
  });

  it('has the learning rate of every step', () => {
    const {settings} = new OwLoreOptimizer({
      learningRate: linearDecay(1, 4),
      scale: 1,
      clipNorm: 2,
    });
    const told = optimizerOfJob(settings, 4);
    expect(told.stepRates).to.deep.equal([1, 0.75, 0.5, 0.25]);
    expect(told).to.include({scale: 1, clipNorm: 2, basis: 'randomized', accumulate: 1});
  });

  for (const options of [
    {scale: 'auto'},
    {scale: 1, basis: (g: tf.Tensor2D) => g},
    ...([{moments: 'rotate'}, {state: 'keep'}, {decay: ['a']}] as const),
    ...updateNames.filter((name) => name !== owloreDefaults.update).map((update) => ({update})),
  ] as const) {
    it(`refuses ${Object.entries(options).join()}`, () => {
      const {settings} = new OwLoreOptimizer({scale: 1, ...options});
      expect(() => optimizerOfJob(settings, 1)).to.throw(
        /--engine torch does not have \w+: .* of the optimizer; use --engine tfjs/,
      );
    });
  }
});

describe('files of a job', () => {
  let path: string;
  before(() => {
    path = mkdtempSync(join(tmpdir(), 'owlore-job-'));
  });
  after(() => rmSync(path, {recursive: true}));

  it('has ids and labels of batch after batch, and disposes of them', async () => {
    const before = tf.memory().numTensors;
    async function* batches() {
      for (const rows of [2, 1, 3]) {
        const xs = tf.fill<tf.Rank.R2>([rows, 3], rows, 'int32');
        yield {xs, ys: tf.fill<tf.Rank.R3>([rows, 3, 1], -100, 'int32')};
      }
    }
    const file = join(path, 'batches.i32');
    const written = await writeBatches(file, batches(), (count) => count < 2);
    expect(written).to.deep.equal({columns: 3, rows: [2, 1]});
    const bytes = readFileSync(file);
    const numbers = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const two = [...Array<number>(6).fill(2), ...Array<number>(6).fill(-100)];
    expect([...numbers]).to.deep.equal([...two, 1, 1, 1, -100, -100, -100]);
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('has any value of a list', () => {
    const lines = new JsonLines(join(path, 'places.jsonl'));
    const values = [{a: 'ä'}, {b: [1, 2]}, null];
    for (const value of values) lines.add(value);
    expect([2, 0, 1].map((i) => lines.at(i))).to.deep.equal([2, 0, 1].map((i) => values[i]));
    lines.close();
  });
});
