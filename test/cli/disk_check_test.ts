import {mkdirSync, readdirSync, statSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import type {Context} from '../../src/cli/command';
import type {CommandConsole} from '../../src/cli/console';
import {checkDisk, diskNeed} from '../../src/cli/disk_check';
import {finetuneOptions, type FinetuneSettings} from '../../src/cli/finetune_options';
import {openModel, type OpenedModel} from '../../src/cli/model_options';
import type {BackendName} from '../../src/cli/register_backend';
import {UsageError} from '../../src/cli/usage_error';
import {fastBackend, itAtLength} from '../support/backends';
import {onFullDisk} from '../support/full_disk';
import {onSmallDisk} from '../support/small_disk';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

type Settings = Parameters<typeof checkDisk>[0];

describe('the room that a run needs on its disk', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let opened: OpenedModel;
  const notes: string[] = [];
  const console = {note: (line: string) => notes.push(line)} as unknown as CommandConsole;
  const context = {
    console,
    given: new Map([['output', 'finetune: --output']]),
  } as unknown as Context;
  const data = {steps: 100, heldOutExamples: 2, batchSize: 4};

  function settingsOf(changed: Partial<Settings> = {}): Settings {
    const defaults = Object.entries(finetuneOptions).map(([name, {default: value}]) => [
      name,
      value,
    ]);
    return {
      ...(Object.fromEntries(defaults) as FinetuneSettings & {backend: BackendName}),
      ...{model: folder.model, backend: 'wasm', saveEvery: 10, rank: 4},
      output: join(folder.path, 'run'),
      ...changed,
    };
  }

  before(async () => {
    folder = await createModelFolder();
    opened = await openModel(settingsOf(), context);
  });
  beforeEach(() => void notes.splice(0));
  after(() => folder.remove());

  const megabyte = 2 ** 20;
  /** Without what a log may take. */
  const min = (changed: Partial<Settings>, steps = 100): number =>
    diskNeed(settingsOf(changed), opened, {...data, steps}).min - megabyte - 1000 * steps;

  it('is that of checkpoints and model, by what trains between them', () => {
    const weights = statSync(join(folder.model, 'model.safetensors')).size;
    const near = (bytes: number, expected: number): void => {
      // headers of files are not counted
      expect(bytes / expected).to.be.within(0.9, 1.03);
    };
    near(min({saveEvery: 0}), weights);
    near(min({saveEvery: 0, dtype: 'BF16'}), weights / 2);
    // of the two that stay all weights are others; or one is being written beside them
    near(min({method: 'full'}), 3 * weights);
    near(min({method: 'full', saveEvery: 50}), 3 * weights);
    // the best one is a third
    near(min({method: 'full', keepBest: true}), 4 * weights);
    near(min({method: 'full', keepBest: 3, saveEvery: 0}), 4 * weights);
    const adapters = min({method: 'lora', saveEvery: 0}) - weights;
    expect(adapters).to.be.within(0.1 * weights, weights);
    near(min({method: 'lora'}), 2 * weights + 3 * adapters);
    near(min({embedding: 'frozen'}), 2 * weights);
    expect(min({})).to.be.above(min({embedding: 'frozen'}));
    const {min: oneMin, max: oneMax} = diskNeed(settingsOf(), opened, data);
    expect(oneMax).to.be.above(oneMin);
    const job = min({engine: 'torch', maxLength: 10}) - min({maxLength: 10});
    expect(job).to.equal(10 * 8 * (100 * 4 + 2));
  });

  itAtLength('is what a run has on the disk at most', async () => {
    const lines = folder.writeLines('texts.jsonl', texts(30));
    for (const method of ['owlore', 'full', 'lora'] as const) {
      const output = join(folder.path, method);
      const args = ['finetune', '--model', folder.model, '--data', lines, '--output', output];
      const sizes = ['--steps', '6', '--batch-size', '4', '--max-length', '12', '--rank', '4'];
      const own = ['--save-every', '1', '--method', method, '--backend', fastBackend];
      const all = [...args, ...sizes, ...own].filter((each, i, {[i - 1]: before}) =>
        method === 'full' ? each !== '--rank' && before !== '--rank' : true,
      );
      let max = 0;
      const watch = (): boolean => {
        max = Math.max(max, bytesIn(output));
        return false;
      };
      const {code, stderr} = await onFullDisk(output, watch, () => runCli(all));
      expect(code, stderr).to.equal(0);
      const need = diskNeed(settingsOf({method, saveEvery: 1, maxLength: 12}), opened, {
        ...data,
        steps: 6,
      });
      const others = megabyte + 6 * 1000;
      // headers, manifests and log
      expect(max, method).to.be.within(need.min - others, need.max - others + 100_000);
    }
  });

  function bytesIn(path: string): number {
    return readdirSync(path, {withFileTypes: true}).reduce((sum, entry) => {
      const inside = join(path, entry.name);
      return sum + (entry.isDirectory() ? bytesIn(inside) : statSync(inside).size);
    }, 0);
  }

  it('refuses a run that cannot be saved, and notes one that may not be', async () => {
    const settings = settingsOf();
    const {min: atLeast, max} = diskNeed(settings, opened, data);
    const check = (room: number | null, changed: Partial<Settings> = {}): Promise<unknown> =>
      checkDisk({...settings, ...changed}, opened, data, context, async () => room).then(
        () => null,
        (error: unknown) => error,
      );
    expect([await check(max), await check(null), notes]).to.deep.equal([null, null, []]);
    expect(await check(atLeast)).to.equal(null);
    expect(notes.splice(0).join()).to.match(
      /^checkpoints and model take up to 2 MB, and where '.*run' is 1 MB are free: they may not suffice; give finetune: --output another disk, or --save-every 0/,
    );
    const refused = await check(atLeast - 1);
    expect(refused).to.be.instanceOf(UsageError);
    expect((refused as Error).message).to.match(
      /^finetune: this run cannot be saved: checkpoints and model take at least 1 MB, and where '.*run' is 1 MB are free; give finetune: --output another disk, or --save-every 0, .*, or --dtype BF16, or go on with --force$/,
    );
    expect(notes).to.deep.equal([]);
    expect(await check(0, {force: true})).to.equal(null);
    expect(notes).to.have.length(1);
  });

  it('counts what a run that goes on has written', async () => {
    const run = join(folder.path, 'stopped');
    mkdirSync(join(run, 'checkpoints'), {recursive: true});
    writeFileSync(join(run, 'checkpoints', 'x.safetensors'), new Uint8Array(500_000));
    const settings = settingsOf({output: run, resume: run});
    const {min: atLeast} = diskNeed(settings, opened, data);
    await checkDisk(settings, opened, data, context, async () => atLeast - 500_000);
    const refused = await checkDisk(settings, opened, data, context, async () => 0).catch(
      (error: unknown) => (error as Error).message,
    );
    expect(refused).to.match(/cannot be saved: .*; make room there, or/);
  });

  it('is compared with that of the disk, before anything is written', async function () {
    const small = join(folder.path, 'small');
    mkdirSync(small);
    const lines = folder.writeLines('texts.jsonl', texts(30));
    const isMade = await onSmallDisk(small, async () => {
      const output = join(small, 'run');
      const args = ['finetune', '--model', folder.model, '--data', lines, '--output', output];
      const {code, stderr} = await runCli([...args, '--backend', fastBackend, '--steps', '2']);
      expect(code).to.equal(2);
      expect(stderr).to.match(
        /this run cannot be saved: .* where '.*run' is \d+ (kB|bytes) are free/,
      );
      expect(readdirSync(small)).to.deep.equal([]);
    });
    if (!isMade) this.skip();
  });
});
