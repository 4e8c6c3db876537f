/** The training of a run in PyTorch: writes a job, starts Python, and brings back what it tells. */
import {writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {checkedManifest, FORMAT, VERSION, type Manifest} from '../../checkpoint/manifest';
import {layerWeights, type CheckpointParts, type LayerWeights} from '../../checkpoint/parts';
import {findCheckpoint, restoreWeights} from '../../checkpoint/resume_checkpoint';
import {commitCheckpoint} from '../../checkpoint/save_checkpoint';
import {jsonText} from '../../files/json';
import {saveLlama} from '../../llama/index';
import {paperMethodNames, paperMethods, type MethodParts} from '../../methods';
import {resolveBlocks} from '../../model/blocks';
import {cut} from '../../common/options';
import {ACCUMULATED} from '../../owlore/optimizer/state/saved_names';
import type {SamplingProbabilities} from '../../owlore/sampling/probabilities';
import type {Context} from '../command';
import type {Engine, EngineOutcome, EngineRun} from '../engine';
import {finetuneOptions, type FinetuneSettings} from '../finetune_options';
import {savingOf, untilSaved} from '../full_disk';
import {flagOf, isThere} from '../options';
import {KEPT_CHECKPOINTS} from '../run_files';
import {defaultPython} from '../start_program';
import {restoreBest, stateIn} from '../tfjs_engine';
import type {TrainingMonitor} from '../training_monitor';
import {UsageError} from '../usage_error';
import {JsonLines, writeBatches} from './batches_file';
import {defaultInPython, optimizerOfJob, weightsOfJob, type Job} from './job';
import type {TorchAnswer, TorchEvent} from './events';
import {runTorch, type TorchCommand} from './process';
import {checkPython} from './python';

export const torchEngine: Engine = {check, train};

/** What a job's checkpoints say of themselves in the place of a backend of tfjs. */
const BACKEND = 'torch';

/** Settings for which the PyTorch engine supports the default only. */
const onlyDefault = (Object.keys(finetuneOptions) as Array<keyof FinetuneSettings>).filter((name) =>
  ['frozenDtype', 'matmulPrecision', ...defaultInPython].includes(name),
);

async function check(settings: FinetuneSettings, {given}: Context): Promise<FinetuneSettings> {
  const {method, python = defaultPython, processes} = settings;
  const {lora}: MethodParts = paperMethods[method];
  if (lora) {
    const others = paperMethodNames.filter((name) => !(paperMethods[name] as MethodParts).lora);
    throw new UsageError(
      `finetune: --engine torch does not have --method ${method}; use --engine tfjs, or one of ${others.join(', ')}`,
    );
  }
  for (const name of onlyDefault) {
    const value = settings[name] as string;
    if (value === finetuneOptions[name].default) continue;
    throw new UsageError(
      `${given.get(name) ?? `finetune: ${flagOf(name)}`} ${value} is not possible with --engine torch; use --engine tfjs`,
    );
  }
  if (process.platform === 'win32') {
    throw new UsageError(
      'finetune: --engine torch runs on Linux and macOS; on Windows use it in WSL, or use --engine tfjs',
    );
  }
  const {gpus} = await checkPython(python);
  if (processes !== undefined && gpus > 0 && processes > gpus) {
    throw new UsageError(
      `${given.get('processes')} must be at most ${gpus}, the GPUs of this machine, each of which trains by one process; got ${processes}`,
    );
  }
  return {...settings, python, processes: processes ?? Math.max(1, gpus)};
}

async function train(run: EngineRun): Promise<EngineOutcome> {
  const {folder} = run;
  folder.makeJob();
  const places = new JsonLines(join(folder.job, 'places.jsonl'));
  try {
    const {job, probabilities} = await writeJob(run, places);
    return await runJob(run, job, {probabilities, places});
  } finally {
    places.close();
  }
}

/** Writes all that Python gets. `places` gets where the data stand after each step. */
async function writeJob(
  run: EngineRun,
  places: JsonLines,
): Promise<{job: Job; probabilities: SamplingProbabilities | null}> {
  const {settings, model, optimizer, callback, data, training, monitor, folder} = run;
  const layers = layerWeights('finetune', model);
  const told = optimizerOfJob(optimizer.settings, data.steps);
  const weights = weightsOfJob(run, layers);
  const found = settings.resume === undefined ? null : await resumed(run);
  const {periods, probabilities} = drawAhead(run);
  const {begun, stateBytes} = monitor.state();
  const job: Job = {
    ...{format: 'tfjs-owlore torch job', version: 1},
    model: await modelFolder(run),
    checkpoints: resolve(folder.checkpoints),
    ...{steps: data.steps, evaluateEvery: settings.evaluateEvery!},
    saveEvery: settings.saveEvery! > 0 ? settings.saveEvery! : null,
    keepBest: settings.keepBest !== false,
    patience: typeof settings.keepBest === 'number' ? settings.keepBest : null,
    parallel: settings.parallel,
    recompute: settings.gradientCheckpointing !== 'none',
    optimizer: told,
    blocks: resolveBlocks(model).map(({name}) => name),
    alwaysOn: callback?.settings['alwaysOn'] !== false,
    blockHistory: periods,
    weights,
    layers: namesOf(layers),
    data: await writeTrainingData(run, places),
    heldOut: await writeHeldOut(run),
    start: {
      step: monitor.steps.length,
      calls: begun?.batches ?? 0,
      lossSum: begun?.lossSum ?? 0,
      stateBytes,
      heldOutAt: monitor.heldOut.at(-1)?.step ?? null,
      ...{lowest: monitor.lowest, notLower: monitor.notLower},
    },
    resume: found && {model: found.model, optimizer: found.optimizer},
  };
  writeFileSync(join(folder.job, 'job.json'), jsonText(job), {flag: 'wx'});
  return {job, probabilities};

  async function writeTrainingData(run: EngineRun, places: JsonLines): Promise<Job['data']> {
    // a file has at least one, also where no step is left
    const batches = Math.max(1, data.steps * settings.accumulate - monitor.batches);
    const begun = monitor.batches % settings.accumulate;
    const progress = run.context.console.progress({label: 'writing the batches', total: batches});
    const written = await writeBatches(join(folder.job, 'batches.i32'), training, (count) => {
      run.context.interruption.signal.throwIfAborted();
      progress.update(count);
      if ((begun + count) % settings.accumulate === 0) places.add(training.state());
      return count < batches;
    });
    progress.end();
    return {file: 'batches.i32', ...written};
  }

  async function writeHeldOut({context}: EngineRun): Promise<Job['heldOut']> {
    const written = await writeBatches(join(folder.job, 'heldOut.i32'), data.heldOut(), () => {
      context.interruption.signal.throwIfAborted();
      return true;
    });
    return {file: 'heldOut.i32', ...written};
  }
}

/** The model as a folder of transformers: its own, if it is one, or else a copy. */
async function modelFolder({settings, model, folder}: EngineRun): Promise<string> {
  if (isThere('folder', settings.model)) return resolve(settings.model);
  const copy = join(folder.job, 'model');
  await saveLlama(model, copy);
  return resolve(copy);
}

function partsOf({model, optimizer, callback, training}: EngineRun): CheckpointParts {
  return {...{model, optimizer, data: training}, ...(callback && {callback})};
}

/** Brings callback, data and monitor to the checkpoint that the run goes on from; null if there is none. */
async function resumed(run: EngineRun): Promise<Manifest | null> {
  const {model, optimizer, callback, folder} = run;
  const parts = partsOf(run);
  const found = await findCheckpoint(folder.checkpoints, parts);
  if (found === null) {
    await run.goOn(null);
    return null;
  }
  const {path, manifest} = found;
  const {step, extra} = manifest;
  const {accumulate} = optimizer;
  const accumulated = Number(manifest.optimizer.counters[ACCUMULATED]);
  const reached = stateIn(folder, {path, extra, step}, {accumulate, accumulated});
  parts.data!.restore(manifest.data);
  if (manifest.callback) {
    callback!.setState(manifest.callback.state);
    // sees whether the blocks are drawn as they were
    callback!.attach(model, optimizer);
    callback!.restore();
  }
  await run.goOn(reached);
  return manifest;
}

/** The blocks of all periods of the run, and the probabilities by which they are drawn. */
function drawAhead({model, optimizer, drawnAhead}: EngineRun): {
  periods: Job['blockHistory'];
  probabilities: SamplingProbabilities | null;
} {
  const callback = drawnAhead();
  if (!callback) return {periods: null, probabilities: null};
  callback.attach(model, optimizer);
  try {
    const {interval, periods} = callback.blockHistory;
    return {periods: {interval, periods}, probabilities: callback.probabilities};
  } finally {
    callback.restore();
  }
}

function namesOf(layers: readonly LayerWeights[]): Job['layers'] {
  return layers.map(({layer, weights}) => ({layer, weights: weights.map(({name}) => name)}));
}

/** What a checkpoint has beside what Python writes. */
interface BesideJob {
  probabilities: SamplingProbabilities | null;
  places: JsonLines;
}

async function runJob(run: EngineRun, job: Job, beside: BesideJob): Promise<EngineOutcome> {
  const {settings, model, monitor, folder, context} = run;
  const {signal} = context.interruption;
  signal.throwIfAborted();
  const stop = (): void => writeFileSync(join(folder.job, 'stop'), '');
  signal.addEventListener('abort', stop);
  const history = {blocks: job.blocks, interval: job.blockHistory?.interval ?? 1};
  if (job.blockHistory)
    folder.keepHistory(() => ({...history, periods: periodsUntil(job, monitor.steps.length)}));
  let done: Extract<TorchEvent, {event: 'done'}> | null = null;
  folder.makePythonLog();
  folder.makeCheckpoints();
  monitor.begin();
  try {
    const {python, processes} = settings;
    const command = {python: python!, processes: processes!};
    const files = {job: join(folder.job, 'job.json'), log: folder.pythonLog};
    for await (const event of eventsOf(run, {...command, ...files})) {
      checkPlace(job, monitor, event);
      if (event.event === 'begin') context.console.note(placeOf(event));
      else if (event.event === 'step') takeStep(run, event);
      else if (event.event === 'heldOut') monitor.recordHeldOut(event);
      else if (event.event === 'checkpoint') await takeCheckpoint(run, job, beside, event);
      else if (event.event === 'done') done = event;
    }
  } finally {
    monitor.end();
    signal.removeEventListener('abort', stop);
  }
  if (!done) {
    const where = `${monitor.steps.length} of ${job.steps}`;
    throw (
      signal.reason ??
      new Error(`--engine torch: Python ended after step ${where}, and was not told to`)
    );
  }
  await restoreWeights(folder.checkpoints, done.model, layerWeights('finetune', model));
  const {model: files, skipped} = done;
  const save = (): Promise<void> => saveEnd(run, job, beside, files, skipped);
  const isThere = job.start.step === monitor.steps.length;
  const isDue = settings.saveEvery! > 0 && !isThere;
  if (isDue) await save();
  await restoreBest(run);
  return {skippedSteps: skipped, saveCheckpoint: isDue || isThere ? null : save};
}

/** What Python tells while it runs a job, but for a full disk: then it waits as the run does, and writes once more, maybe to another folder. */
async function* eventsOf(
  {folder, context}: EngineRun,
  command: Omit<TorchCommand, 'hold'>,
): AsyncGenerator<Exclude<TorchEvent, {event: 'full'}>, void> {
  let place = folder.current;
  let lock = (): void => undefined;
  const unlock: Array<() => void> = [];
  const hold = (pid: number): (() => void) => {
    lock = () => unlock.push(folder.holdFor(pid));
    lock();
    return () => unlock.forEach((each) => each());
  };
  const newPlace = (): TorchAnswer => {
    if (folder.current !== place) {
      lock();
      folder.makeJob();
      place = folder.current;
    }
    folder.makeCheckpoints();
    return {checkpoints: resolve(folder.checkpoints), folder: resolve(folder.job)};
  };
  const events = runTorch({...command, hold});
  try {
    for (;;) {
      let {value: event} = await events.next();
      let isAsked = false;
      if (event?.event === 'full') {
        const retry = async (): Promise<void> => {
          if (isAsked) ({value: event} = await events.next(newPlace()));
          isAsked = true;
          if (event?.event === 'full') throw fullDisk(event);
        };
        await untilSaved(savingOf(folder), retry, context);
      }
      if (!event) return;
      yield event as Exclude<TorchEvent, {event: 'full'}>;
    }
  } finally {
    await events.return();
  }
}

function fullDisk({path, reason}: Extract<TorchEvent, {event: 'full'}>): Error {
  return Object.assign(new Error(`--engine torch: cannot write '${path}': ${reason}`), {
    code: 'ENOSPC',
    path,
  });
}

/** The blocks of the periods that have begun after some steps. */
function periodsUntil({blockHistory}: Job, steps: number): string[][] {
  const {interval, periods} = blockHistory!;
  return periods.slice(0, Math.ceil(steps / interval));
}

function placeOf(event: Extract<TorchEvent, {event: 'begin'}>): string {
  const {torch, processes, parallel, backend, device} = event;
  const together =
    processes === 1 ? '1 process' : `${processes} processes, ${parallel} by ${backend}`;
  return `training in PyTorch ${torch}, on ${device}: ${together}`;
}

/** Throws unless an event is one that may come after so many steps. */
function checkPlace(job: Job, monitor: TrainingMonitor, event: TorchEvent): void {
  const steps = monitor.steps.length;
  const fail = (what: string): never => {
    throw new Error(
      `--engine torch: finetune.py has sent ${what} after step ${steps} of ${job.steps}`,
    );
  };
  if ('step' in event) {
    const {event: name, step} = event;
    const isRight = name === 'step' ? step === steps + 1 && step <= job.steps : step === steps;
    // there is one of the first step already, or none
    const isNew = name !== 'checkpoint' || step > job.start.step;
    if (!isRight || !isNew) fail(`'${name}' of step ${step}`);
  }
  if (event.event === 'done' && steps !== job.steps && !monitor.isOver) fail(`'${event.event}'`);
  if (event.event === 'step' && event.blocks.some((name) => !job.blocks.includes(name)))
    fail(`blocks that the model does not have (${cut(event.blocks.join(', '))})`);
  const counts = (layers: Job['layers']): string =>
    String(layers.map(({weights}) => weights.length));
  if ('model' in event && counts(event.model) !== counts(job.layers))
    fail('other weights than those of the model');
}

function takeStep({monitor}: EngineRun, event: Extract<TorchEvent, {event: 'step'}>): void {
  const {stateBytes, event: _, ...step} = event;
  monitor.stateBytes = Math.max(monitor.stateBytes, stateBytes);
  monitor.recordStep(step);
}

/** Makes the files that Python has written a checkpoint, and tells it so. */
async function takeCheckpoint(
  run: EngineRun,
  job: Job,
  beside: BesideJob,
  event: Extract<TorchEvent, {event: 'checkpoint'}>,
): Promise<void> {
  const {step} = event;
  const {folder, context} = run;
  await commit(run, job, beside, {...event, data: beside.places.at(step - job.start.step - 1)});
  const tell = (): void => writeFileSync(join(folder.job, `saved-${step}`), '');
  await untilSaved(savingOf(folder, false), tell, context);
}

/** Makes the weights that Python has written at the end a checkpoint. No step is left for which the optimizer would need a state. */
function saveEnd(
  run: EngineRun,
  job: Job,
  beside: BesideJob,
  model: Manifest['model'],
  skipped: number,
): Promise<void> {
  const step = run.monitor.steps.length;
  const counters = {iter: step, [ACCUMULATED]: 0, 'owlore.skipped': skipped};
  return commit(run, job, beside, {
    ...{step, model, optimizer: {counters, files: []}},
    ...{stateBytes: run.monitor.stateBytes, data: run.training.state()},
  });
}

/** Where the files of a checkpoint and the data stand. */
type Files = Pick<
  Extract<TorchEvent, {event: 'checkpoint'}>,
  'step' | 'model' | 'optimizer' | 'stateBytes'
> &
  Pick<Manifest, 'data'>;

async function commit(
  {options, optimizer, callback, monitor, data: {contents}, save}: EngineRun,
  job: Job,
  {probabilities}: BesideJob,
  {step, model, optimizer: saved, stateBytes, data}: Files,
): Promise<void> {
  const manifest: Manifest = {
    ...{format: FORMAT, version: VERSION, step, epoch: 0, batches: 0},
    metric: monitor.isBest ? monitor.kept.loss : null,
    ...{backend: BACKEND, kernels: null, model, data},
    optimizer: {settings: optimizer.settings, ...saved},
    callback: callback && {
      settings: callback.settings,
      state: {
        ...{blocks: job.blocks, probabilities, interval: job.blockHistory?.interval ?? null},
        ...{periods: periodsUntil(job, step), steps: step, open: null},
      },
    },
    extra: {steps: step, stateBytes, begun: null, data: contents, options},
  };
  checkedManifest('--engine torch: a checkpoint of finetune.py', {...manifest});
  await save((target) => commitCheckpoint(target, optimizer, manifest, KEPT_CHECKPOINTS));
}
