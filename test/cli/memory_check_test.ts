import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import type {Context} from '../../src/cli/command';
import type {CommandConsole} from '../../src/cli/console';
import {finetuneOptions, type FinetuneSettings} from '../../src/cli/finetune_options';
import {checkMemory} from '../../src/cli/memory_check';
import {openModel} from '../../src/cli/model_options';
import {describeBackends} from '../support/backends';
import {copyOfFiveGigabytes, createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

describeBackends('tfjs-owlore finetune, of memory', (backend) => {
  if (backend !== 'wasm') return;
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  it('refuses a run that cannot fit, before anything is written', async () => {
    const wide = await createModelFolder({intermediateSize: 4000});
    const data = folder.writeLines('texts.jsonl', texts(4));
    const output = join(folder.path, 'run');
    const args = ['finetune', '--model', wide.model, '--data', data, '--output', output];
    const own = ['--backend', backend, '--packing', '--batch-size', '1300'];
    const {code, stderr} = await runCli([...args, ...own]);
    expect(code).to.equal(2);
    expect(stderr).to.match(
      /finetune: this run cannot fit: a step takes some [\d.]+ GB of tensors, and wasm's largest heap is 4.29 GB; --max-length 16, or --batch-size \d+ fits, or go on with --force/,
    );
    expect(existsSync(output)).to.equal(false);
    wide.remove();
  });

  it('refuses a model that cannot be loaded, before a weight is read', async () => {
    const model = ['--model', copyOfFiveGigabytes(folder), '--backend', backend];
    const data = folder.writeLines('texts.jsonl', texts(4));
    const cannot =
      "--model cannot be loaded: its weights take 5.09 GB, and wasm's largest heap is 4.29 GB; take another --backend";
    const half = ' or --frozen-dtype BF16';
    for (const [args, message] of [
      [['generate', '--prompt', 'the cat'], `${cannot}${half}`],
      [['chat'], `${cannot}${half}`],
      [['generate', '--prompt', 'the cat', '--frozen-dtype', 'F32'], `${cannot}${half}`],
      [['scores', '--kind', 'relativeMagnitude'], cannot],
      [['evaluate', '--data', data], cannot],
    ] as const) {
      const {code, stderr} = await runCli([...args, ...model]);
      expect(code, stderr).to.equal(2);
      expect(stderr.endsWith(`error: ${args[0]}: ${message}\n`), stderr).to.equal(true);
    }
    const output = join(folder.path, 'large run');
    const run = ['finetune', ...model, '--data', data, '--output', output];
    const {code, stderr} = await runCli(run);
    expect(code, stderr).to.equal(2);
    expect(stderr).to.match(/this run cannot fit: .*, or go on with --force\n$/);
    expect(existsSync(output)).to.equal(false);
  });

  it('trains where few examples make smaller batches', async () => {
    const data = folder.writeLines('texts.jsonl', texts(4));
    const args = ['finetune', '--model', folder.model, '--data', data, '--backend', backend];
    const own = ['--batch-size', '200000', '--steps', '1', '--scores', 'uniform'];
    const {code, stderr} = await runCli([...args, ...own, '--output', join(folder.path, 'few')]);
    expect(code, stderr).to.equal(0);
  });

  it('begins with --force, and says that the run may not fit', async () => {
    const notes: string[] = [];
    const console = {note: (line: string) => notes.push(line)} as unknown as CommandConsole;
    const context = {console, given: new Map()} as unknown as Context;
    const defaults = Object.entries(finetuneOptions).map(([name, option]) => [
      name,
      option.default,
    ]);
    const settings = {
      ...(Object.fromEntries(defaults) as FinetuneSettings),
      ...{model: folder.model, backend, packing: true, rank: 4},
    } as const;
    const opened = await openModel(settings, context);
    const limit = {bytes: 1000, what: 'the limit'};
    const refused = await checkMemory(settings, opened, context, limit).catch(
      (error: unknown) => (error as Error).message,
    );
    expect(refused).to.match(
      /^finetune: this run cannot fit: .*, and the limit is 1 kB; even --.* --batch-size 1 does not fit, or go on with --force$/,
    );
    expect(notes).to.deep.equal([]);
    await checkMemory({...settings, force: true}, opened, context, limit);
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(
      /^a step takes some .*: it may not fit; even .* --batch-size 1 does not fit$/,
    );
    await checkMemory(settings, opened, context, {...limit, bytes: 4e9});
    // one that goes on keeps its batch
    const resumed = {...settings, resume: 'run'};
    const refusedAgain = await checkMemory(resumed, opened, context, limit).catch(
      (error: unknown) => (error as Error).message,
    );
    expect(refusedAgain).to.match(
      /^finetune: the run in run has steps of some .*: it cannot go on here; .* with --force$/,
    );
    await checkMemory({...resumed, force: true}, opened, context, limit);
    expect(notes.pop()).to.match(/^the run in run has steps .*: it may not fit$/);
    // PyTorch has memory of its own
    await checkMemory({...settings, engine: 'torch'}, opened, context, limit);
    expect(notes).to.have.length(1);
  });
});
