/** The beginning of a training: everything is read, what trains is made, and what is needed to go on is kept. */
import {resumeCheckpoint} from '../checkpoint/resume_checkpoint';
import type {CheckpointParts} from '../checkpoint/parts';
import {parseHubName} from '../files/hub_name';
import type {ModelSource} from '../files/source';
import {loadLlama, sparseCrossEntropy, type LoadedLlama, type TextDataset, type Tokenizer} from '../llama/index'; // prettier-ignore
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {startMemoryMeter, type MemoryMeter} from '../memory/meter';
import type {PaperMethod} from '../methods';
import {rateFrom} from '../training_defaults';
import type {SelectedBackend} from './backend';
import {joinedData, prepareData, READING, type TrainingData} from './data';
import type {FineTuningEvents, RunOptions, StatusEvent} from './events';
import {codedError} from './failure';
import type {CheckpointExtra, History} from './history';
import {estimateOf, plainBytesOf, tensorLimit} from './memory';
import {frozenDtypeOf, methodOf, openModel, placesOf, requestOf} from './model';
import type {RunStore} from './run_store';
import {chooseSampling, type Sampling} from './sampling';
import type {Settings} from './settings';
import {promptStyleOf} from './texts';

/** Tells the page. */
export type Emit = <Name extends keyof FineTuningEvents>(
  event: Name,
  data: FineTuningEvents[Name],
) => void;

/** What a training is. */
export interface Training {
  owner: string;
  settings: Settings;
  /** Where it is kept; null: nowhere. */
  store: RunStore | null;
  /** Whether it makes the steps that are left; with false it is only opened. */
  isToTrain: boolean;
  emit: Emit;
  selectBackend: (settings: Settings) => Promise<SelectedBackend>;
}

/** What is there when a training has begun. */
export interface Begun {
  loaded: LoadedLlama;
  tokenizer: Tokenizer;
  data: TrainingData;
  method: PaperMethod;
  training: TextDataset;
  meter: MemoryMeter;
  /** Those of the run, with what was chosen for it. */
  options: RunOptions;
  /** The most bytes of tensors that the tab has room for; null where nobody knows. */
  limit: number | null;
  /** The step of the checkpoint from which it goes on; null: it begins. */
  resumedAt: number | null;
}

/**
 * Tells the page that it is ready.
 *
 * @param history Gets what was said before, if the training goes on.
 */
export async function begin(training: Training, history: History): Promise<Begun> {
  const {owner, settings, store, emit, selectBackend} = training;
  const status = sparingly((status) => emit('status', status));
  status({phase: 'backend', text: 'starting the backend'});
  const {backend, threads} = await selectBackend(settings);
  status({phase: 'model', text: 'reading what the model is'});
  const opened = await ofFiles(() => openModel(owner, settings));
  const {configJson, config, tokenizer} = opened;
  const data = await readData(training, opened, status);
  const {steps} = data;
  const sized = {...settings, batchSize: data.batchSize};
  const estimate = estimateOf(sized, backend, configJson, config);
  const plainBytes = plainBytesOf(sized, backend, configJson, config);
  const limit = tensorLimit(backend);
  // not before, as it would keep counting the models of the estimates
  const meter = startMemoryMeter();
  const loaded = await loadModel(settings, status);
  const {model} = loaded;
  status({phase: 'scores', text: 'looking at the blocks'});
  const sampling = await chooseSampling(
    ...([owner, settings, model] as const),
    {steps, batches: () => data.training({repeat: false})},
    store?.file?.scores ?? null,
    (done, total) => status({phase: 'scores', text: 'scoring the blocks', done, total}),
  );
  const method = methodOf(settings, model, sampling, steps);
  const {optimizer, callback} = method;
  callback?.events.on('sample', ({step, blocks}) => {
    const data = {step, blocks: placesOf(sampling, blocks), why: sampling.why};
    history.add({event: 'period', data});
  });
  model.compile({optimizer, loss: sparseCrossEntropy});
  await optimizer.ready();
  const parts = {loaded, tokenizer, data, method, training: data.training({repeat: true})};
  const resumed = store?.file
    ? await resumeCheckpoint(await store.checkpoints(), partsOf(parts))
    : null;
  if (resumed) {
    const since = store!.saidSince(resumed.step);
    history.goOnFrom(resumed.extra as CheckpointExtra, since);
    // the checkpoint has the rate that was there before
    const rates = since.flatMap(({event, data}) => (event === 'rate' ? [data.learningRate] : []));
    if (rates.length > 0)
      optimizer.learningRate = rateFrom(resumed.step, {...settings, learningRate: rates.at(-1)!}, steps); // prettier-ignore
  }
  if (store && !store.file) await keep(store, settings, loaded, sampling, steps, status);
  callback?.attach(model, optimizer);
  const {accumulate, maxLength = textDatasetDefaults.maxLength} = settings;
  const length = Math.min(maxLength, config.maxPositionEmbeddings);
  const step = resumed?.step ?? 0;
  const options = optionsOf(sized, sampling);
  emit('ready', {
    run: store?.name ?? null,
    ...{backend, threads, parameters: model.countParams(), blocks: sampling.blocks, steps},
    options,
    tokensPerStep: data.batchSize * length * accumulate,
    ...{examples: data.report.used, heldOutExamples: data.heldOutExamples},
    promptStyle: promptStyleOf(tokenizer, data),
    ...{estimate, plainBytes, limit, step, history: history.entries},
  });
  status({phase: 'training', text: 'training', done: step, total: steps});
  return {...parts, meter, options, limit, resumedAt: resumed?.step ?? null};
}

/** Tells how far something is no more than twenty times a second, but always that it begins and that it is done. */
function sparingly(tell: (status: StatusEvent) => void): (status: StatusEvent) => void {
  let [lastText, lastTime] = ['', 0];
  return (status) => {
    const {text, done, total} = status;
    const isUnderWay = text === lastText && done !== total;
    if (isUnderWay && performance.now() - lastTime < 50) return;
    [lastText, lastTime] = [text, performance.now()];
    tell(status);
  };
}

/** The options of a run, with what was chosen for it. */
function optionsOf(settings: Settings, {options: {gamma, interval}}: Sampling): RunOptions {
  const {model: _m, data: _d, run: _r, token: _t, wasmPaths: _w, ...options} = settings;
  return {
    ...options,
    ...(typeof gamma === 'number' && {gamma}),
    ...(typeof interval === 'number' && {interval}),
  };
}

/** What a checkpoint is of. */
export function partsOf({
  loaded: {model},
  method: {optimizer, callback},
  training,
}: Pick<Begun, 'loaded' | 'method' | 'training'>): CheckpointParts {
  return {model, optimizer, data: training, ...(callback && {callback})};
}

function readData(
  {owner, settings}: Training,
  opened: Parameters<typeof prepareData>[3],
  status: (status: StatusEvent) => void,
): Promise<TrainingData> {
  status({phase: 'data', text: READING});
  return ofFiles(async () => {
    const file = await joinedData(owner, settings.data, settings.dataset);
    return prepareData(owner, settings, file, opened, (told) => status({phase: 'data', ...told}));
  });
}

function loadModel(
  settings: Settings,
  status: (status: StatusEvent) => void,
): Promise<LoadedLlama> {
  return ofFiles(() =>
    loadLlama(settings.model as ModelSource, {
      headInLoss: true,
      ...frozenDtypeOf(settings),
      ...requestOf(settings),
      onDownload: (file, done, total) =>
        status({phase: 'model', text: `downloading ${file}`, done, total}),
      onProgress: (done, total) =>
        status({phase: 'model', text: 'reading the weights', done, total}),
    }),
  );
}

/** Writes what the run needs to go on. */
function keep(
  store: RunStore,
  settings: Settings,
  {hubName}: LoadedLlama,
  {scores}: Sampling,
  steps: number,
  status: (status: StatusEvent) => void,
): Promise<void> {
  // without what may be another device's, and what nobody should find
  const kept = {...settings, token: undefined, threads: undefined, wasmPaths: undefined};
  // they stand in the place of epochs, which have a default
  if (settings.steps !== undefined) Object.assign(kept, {epochs: undefined});
  const {model, method} = kept;
  // so that it is the same model, whatever comes to the Hub
  const isOfHub = typeof model === 'string' && parseHubName(model) !== null;
  const place = typeof model === 'string' ? ((isOfHub ? hubName : null) ?? model) : null;
  const about = {method, steps, scores: scores && [...scores]};
  return store.begin({...kept}, place, about, (done) =>
    status({phase: 'saving', text: "copying to the browser's storage", done}),
  );
}

/** Has errors the code of a wrong file, unless something tells another. */
async function ofFiles<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw await codedError(error, 'wrong-file');
  }
}
