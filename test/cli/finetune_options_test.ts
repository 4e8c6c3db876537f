import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import {bestOf, neighbour, type Tried} from '../../bench/compare/rates';
import {finetune} from '../../src/cli/finetune';
import {finetuneOptions} from '../../src/cli/finetune_options';
import {learningRates} from '../../src/training_defaults';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src/index';
import {display} from '../../src/common/options';
import {paperMethodNames} from '../../src/methods';
import {owloreDefaults} from '../../src/owlore/optimizer/options';
import {layerSamplingDefaults} from '../../src/owlore/sampling/options';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

/** Of a line of the recorded comparison. */
interface Cell {
  cell: {options: Record<string, unknown> & {learningRate: number}; heldOut: string};
  measured: {heldOut: {loss: number}};
}

describe('the options of finetune', function () {
  this.timeout(120_000);
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  it('are 55 at most, and a dozen of them are shown at first', () => {
    expect(Object.keys(finetuneOptions).length).to.be.at.most(55);
    expect(finetune.mostUsed).to.have.length(12);
    expect(Object.keys(finetuneOptions)).to.include.members([...finetune.mostUsed!]);
  });

  const libraryNames = {
    optimizer: [
      ...(['rank', 'refreshInterval', 'basis', 'update', 'moments', 'accumulate'] as const),
      ...(['weightDecay', 'clipNorm', 'nonFinite', 'gradientCheckpointing'] as const),
    ],
    callback: ['gamma', 'interval', 'sampler', 'floor', 'seed'] as const,
  };
  const values = [-1, 0, 0.25, 0.5, 1, 1.5, 2, 1e300, NaN, Infinity, true, 'x', '', {}];
  const refuses = (call: () => unknown): boolean => {
    try {
      call();
      return false;
    } catch {
      return true;
    }
  };
  for (const [part, names] of Object.entries(libraryNames)) {
    for (const name of names) {
      it(`are checked as those of the ${part}: ${name}`, () => {
        const {check, choices} = finetuneOptions[name];
        for (const value of [...values, ...(choices ?? [])]) {
          const given = {[name]: value};
          const isRefused = refuses(() =>
            part === 'optimizer' ? new OwLoreOptimizer(given) : new LayerSamplingCallback(given),
          );
          expect(
            refuses(() => check('test', name, value)),
            `${name}: ${display(value)}`,
          ).to.equal(isRefused);
        }
      });
    }
  }

  it('have the defaults of the library, but for those that depend on the method', () => {
    const defaults: Record<string, unknown> = {...owloreDefaults, ...layerSamplingDefaults};
    const own = {gamma: undefined, interval: 50, sampler: undefined, clipNorm: undefined};
    for (const name of Object.values(libraryNames).flat()) {
      const expected = name in own ? own[name as keyof typeof own] : defaults[name];
      expect(finetuneOptions[name].default, name).to.equal(expected);
    }
  });

  it('have a learning rate for each method: a step of the grid below the best of SmolLM2', () => {
    const records = new URL('../../bench/results/compare/smollm2.jsonl', import.meta.url);
    const lines = readFileSync(records, 'utf8').trimEnd().split('\n').slice(1);
    const cells = lines.map((line) => JSON.parse(line) as Cell);
    for (const method of paperMethodNames) {
      const tried = cells.flatMap(({cell: {options, heldOut}, measured}): Tried[] => {
        const isTried =
          heldOut === 'validation' &&
          options['method'] === (method === 'lisa-d' ? 'lisa' : method) &&
          options['embedding'] === undefined;
        return isTried ? [{rate: options.learningRate, loss: measured.heldOut.loss}] : [];
      });
      expect(tried.length, method).to.be.above(2);
      expect(learningRates[method], method).to.equal(neighbour(bestOf(tried).rate, -1));
    }
  });

  for (const method of paperMethodNames) {
    it(`train by that rate, and say so: ${method}`, async () => {
      const data = folder.writeLines('texts.jsonl', texts(4));
      const output = join(folder.path, method);
      const args = ['--data', data, '--output', output, '--method', method, '--steps', '1'];
      const own = method === 'owlore' || method === 'owlore-full' ? ['--scores', 'uniform'] : [];
      const all = ['finetune', '--model', folder.model, '--max-length', '12', ...args, ...own];
      const rate = learningRates[method];
      const {code, stderr} = await runCli([...all, '--backend', 'cpu']);
      expect(code, stderr).to.equal(0);
      expect(stderr).to.include(`\nlearning rate ${rate}, the default of --method ${method}\n`);
      const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as object;
      expect(config).to.include({learningRate: rate});
      const log = readFileSync(join(output, 'log.jsonl'), 'utf8');
      expect(log).to.include(`"learningRate":${rate},`);
      if (method !== 'owlore') return;
      const given = ['--overwrite', '--learning-rate', '0.01', '--backend', 'cpu'];
      expect((await runCli([...all, ...given])).stderr).not.to.include('learning rate');
    });
  }
});
