/** The program of a worker that trains: from files to a trained model, which then answers and is saved. */
import * as tf from '@tensorflow/tfjs-core';
import {resumeCheckpoint} from '../checkpoint/resume_checkpoint';
import {saveCheckpoint} from '../checkpoint/save_checkpoint';
import type {CheckpointParts} from '../checkpoint/parts';
import {parseHubName} from '../files/hub_name';
import type {ModelTarget} from '../files/sink';
import type {ModelSource} from '../files/source';
import {
  loadLlama,
  perplexity,
  saveGguf,
  saveLlama,
  sparseCrossEntropy,
  type LoadedLlama,
  type TextBatch,
  type TextDataset,
  type Tokenizer,
} from '../llama/index';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {startMemoryMeter, type MemoryMeter} from '../memory/meter';
import type {PaperMethod} from '../methods';
import {tenthOf} from '../training_defaults';
import type {SelectedBackend} from './backend';
import {joinedData, prepareData, type TrainingData} from './data';
import {FineTuningError} from './errors';
import type {FineTuningEvents, HistoryEntry, Outcome, StatusEvent} from './events';
import {codedError} from './failure';
import {estimateOf, plainBytesOf, tensorLimit} from './memory';
import type {SentChatOptions} from './messages';
import {frozenDtypeOf, methodOf, openModel, placesOf, requestOf, trainingBlocks} from './model';
import {nextTurn, Turns} from './next_turn';
import type {SaveForm, WorkerChatMessage} from './options';
import {filesIn, type RunStore} from './run_store';
import {chooseSampling, type Sampling} from './sampling';
import type {Settings} from './settings';
import {promptIds, samplePrompts, writeText} from './texts';

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
  emit: Emit;
  selectBackend: (settings: Settings) => Promise<SelectedBackend>;
}

/** What is there when the training has begun. */
interface Begun {
  loaded: LoadedLlama;
  tokenizer: Tokenizer;
  data: TrainingData;
  method: PaperMethod;
  training: TextDataset;
  meter: MemoryMeter;
}

/** What a checkpoint has beside what `saveCheckpoint` keeps: numbers that are not finite are null, as JSON has no others. */
interface Extra {
  history: HistoryEntry[];
}

/** Most tokens of a sample. */
const SAMPLE_TOKENS = 64;

/** Checkpoints that stay. */
const KEPT_CHECKPOINTS = 2;

export class TrainingProgram {
  private readonly turns = new Turns();
  private begun: Begun | null = null;
  /** What was said of the steps. */
  private history: HistoryEntry[] = [];
  private step = 0;
  /** The step of the newest checkpoint; -1: there is none. */
  private savedAt = -1;
  private wanted: 'run' | 'pause' | 'stop' = 'run';
  /** What waits until the training does, or has ended. */
  private readonly waiting: Array<{resolve(): void; reject(error: unknown): void}> = [];
  /** Ends the rest; null while there is none. */
  private goOn: (() => void) | null = null;
  private outcome: Promise<Outcome> | null = null;
  private before: Promise<LoadedLlama> | null = null;

  constructor(private readonly training: Training) {}

  /** Trains to the end, or until it is stopped. */
  run(): Promise<Outcome> {
    this.outcome ??= this.train();
    return this.outcome;
  }

  async pause(): Promise<void> {
    if (this.wanted === 'run') this.wanted = 'pause';
    if (this.goOn) return;
    const rest = new Promise<void>((resolve, reject) => this.waiting.push({resolve, reject}));
    const end = this.run().then(
      () => undefined,
      () => undefined,
    );
    await Promise.race([rest, end]);
  }

  resume(): void {
    if (this.wanted === 'pause') this.wanted = 'run';
    this.goOn?.();
  }

  stop(): Promise<Outcome> {
    this.wanted = 'stop';
    this.goOn?.();
    return this.run();
  }

  setLearningRate(rate: number): Promise<void> {
    return this.turns.take(() => {
      this.there().method.optimizer.learningRate = rate;
      this.record({event: 'rate', data: {step: this.step + 1, learningRate: rate}});
    });
  }

  /** Has the model answer. */
  chat(
    messages: WorkerChatMessage[] | string,
    options: SentChatOptions,
    onText: (text: string) => void,
    signal: AbortSignal,
  ): Promise<string> {
    return this.turns.take(() => this.answer(messages, options, onText, signal));
  }

  /** The files of the model as it is. */
  save(form: SaveForm): Promise<Map<string, Blob>> {
    return this.turns.take(async () => {
      const {store} = this.training;
      this.status({phase: 'saving', text: 'writing the model'});
      if (store) {
        const folder = await store.saved(form);
        await this.write(form, folder);
        return filesIn(folder);
      }
      const files = new Map<string, Uint8Array>();
      await this.write(form, files);
      return new Map(
        [...files].map(([name, bytes]) => [name, new Blob([bytes as Uint8Array<ArrayBuffer>])]),
      );
    });
  }

  private async write(form: SaveForm, target: ModelTarget): Promise<void> {
    const {loaded, method} = this.there();
    const {model, dtype, hubName} = loaded;
    if (form !== 'adapter') {
      await this.merged<unknown>(() =>
        form === 'gguf' ? saveGguf(model, target) : saveLlama(model, target, {dtype}),
      );
      return;
    }
    if (!method.lora)
      throw new FineTuningError(
        'bad-option',
        "save: only a training by the method 'lora' has an adapter; save 'safetensors' or 'gguf'",
      );
    const [baseModel, revision] = hubName?.split('@') ?? [];
    await method.lora.save(target, {...(baseModel && {baseModel}), ...(revision && {revision})});
  }

  private there(): Begun {
    if (this.begun) return this.begun;
    throw new FineTuningError(
      'bad-option',
      `${this.training.owner}: there is no model yet; wait for 'ready'`,
    );
  }

  private status(status: StatusEvent): void {
    this.training.emit('status', status);
  }

  private record(entry: HistoryEntry): void {
    this.history.push(entry);
    this.training.emit(entry.event, entry.data);
  }

  private async train(): Promise<Outcome> {
    try {
      const begun = await this.turns.take(() => this.begin());
      const outcome = await this.makeSteps(begun);
      this.training.emit('done', outcome);
      return outcome;
    } catch (error) {
      // a lost device tells so by a promise
      await nextTurn();
      throw codedError(error);
    }
  }

  /** Reads everything and makes what trains. */
  private async begin(): Promise<Begun> {
    const {owner, settings, store, emit, selectBackend} = this.training;
    this.status({phase: 'backend', text: 'starting the backend'});
    const {backend, threads} = await selectBackend(settings);
    this.status({phase: 'model', text: 'reading what the model is'});
    const opened = await ofFiles(() => openModel(owner, settings));
    const {configJson, config, tokenizer} = opened;
    const data = await this.readData(opened);
    const {steps} = data;
    const sized = {...settings, batchSize: data.batchSize};
    const estimate = estimateOf(sized, backend, configJson, config);
    const plainBytes = plainBytesOf(sized, backend, configJson, config);
    // not before, as it would keep counting the models of the estimates
    const meter = startMemoryMeter();
    const loaded = await this.loadModel();
    const {model} = loaded;
    this.status({phase: 'scores', text: 'looking at the blocks'});
    const sampling = await chooseSampling(
      ...([owner, settings, model] as const),
      {steps, batches: () => data.training({repeat: false})},
      store?.file?.scores ?? null,
      (done, total) => this.status({phase: 'scores', text: 'scoring the blocks', done, total}),
    );
    const method = methodOf(settings, model, sampling, steps);
    const {optimizer, callback} = method;
    callback?.events.on('sample', ({step, blocks}) => {
      const data = {step, blocks: placesOf(sampling, blocks), why: sampling.why};
      this.record({event: 'period', data});
    });
    model.compile({optimizer, loss: sparseCrossEntropy});
    await optimizer.ready();
    const training = data.training({repeat: true});
    const begun = {loaded, tokenizer, data, method, training, meter};
    if (store?.file) await this.goOnFrom(store, begun);
    else if (store) await this.keep(store, loaded, sampling, steps);
    callback?.attach(model, optimizer);
    const {accumulate, maxLength = textDatasetDefaults.maxLength} = settings;
    const length = Math.min(maxLength, config.maxPositionEmbeddings);
    this.begun = begun;
    emit('ready', {
      run: store?.name ?? null,
      ...{backend, threads, parameters: model.countParams(), blocks: sampling.blocks, steps},
      tokensPerStep: data.batchSize * length * accumulate,
      ...{examples: data.report.used, heldOutExamples: data.heldOutExamples},
      ...{estimate, plainBytes, limit: tensorLimit(backend)},
      ...{step: this.step, history: [...this.history]},
    });
    this.status({phase: 'training', text: 'training', done: this.step, total: steps});
    return begun;
  }

  private readData(opened: Parameters<typeof prepareData>[3]): Promise<TrainingData> {
    const {owner, settings} = this.training;
    const text = 'reading the examples';
    this.status({phase: 'data', text});
    return ofFiles(async () => {
      const file = await joinedData(owner, settings.data, settings.dataset);
      return prepareData(owner, settings, file, opened, (done) =>
        this.status({phase: 'data', text, done}),
      );
    });
  }

  private loadModel(): Promise<LoadedLlama> {
    const {settings} = this.training;
    return ofFiles(() =>
      loadLlama(settings.model as ModelSource, {
        headInLoss: true,
        ...frozenDtypeOf(settings),
        ...requestOf(settings),
        onDownload: (file, done, total) =>
          this.status({phase: 'model', text: `downloading ${file}`, done, total}),
        onProgress: (done, total) =>
          this.status({phase: 'model', text: 'reading the weights', done, total}),
      }),
    );
  }

  /** Writes what the run needs to go on. */
  private keep(
    store: RunStore,
    {hubName}: LoadedLlama,
    {scores}: Sampling,
    steps: number,
  ): Promise<void> {
    const {settings} = this.training;
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
      this.status({phase: 'saving', text: "copying to the browser's storage", done}),
    );
  }

  /** Goes on from the newest checkpoint of a run, if it has one. */
  private async goOnFrom(store: RunStore, begun: Begun): Promise<void> {
    const resumed = await resumeCheckpoint(await store.checkpoints(), partsOf(begun));
    if (!resumed) return;
    this.step = this.savedAt = resumed.step;
    this.history = (resumed.extra as Extra).history.map(withNumbers);
  }

  /** Makes step after step. */
  private async makeSteps(begun: Begun): Promise<Outcome> {
    const {settings, store} = this.training;
    const {steps} = begun.data;
    const tenth = tenthOf(steps);
    const {evaluateEvery = tenth, sampleEvery = tenth, saveEvery = tenth} = settings;
    const isDue = (every: number): boolean =>
      every > 0 && (this.step % every === 0 || this.step === steps);
    const batches = await begun.training.iterator();
    try {
      for (;;) {
        // what is to wait comes to these when it goes on; the last ones are worth waiting for
        const isFree = (): boolean => this.wanted === 'run' || this.step === steps;
        if (isFree() && isDue(evaluateEvery)) await this.evaluate(begun);
        if (isFree() && isDue(sampleEvery)) await this.sample(begun);
        const isOver = this.step === steps || this.wanted === 'stop';
        const isToSave = isOver || this.wanted === 'pause' || (this.step > 0 && isDue(saveEvery));
        const failure = store && isToSave ? await this.saveOrSay(store, begun) : null;
        if (isOver) {
          if (failure) throw failure;
          break;
        }
        // without room nothing is lost as long as it waits
        if (failure && this.wanted === 'run') this.wanted = 'pause';
        if (this.wanted === 'pause') await this.rest(failure);
        else await this.turns.take(() => this.makeStep(begun, batches));
        await nextTurn();
      }
    } finally {
      await batches.return();
      begun.method.callback?.restore();
    }
    return this.outcomeOf(steps);
  }

  private async makeStep(
    {method, loaded: {model}, meter}: Begun,
    batches: AsyncGenerator<TextBatch, void>,
  ): Promise<void> {
    const {accumulate} = this.training.settings;
    const {optimizer, callback} = method;
    const {learningRate} = optimizer;
    const start = performance.now();
    let [sum, tokens] = [0, 0];
    let blocks: number[] = [];
    meter.reset();
    for (let i = 0; i < accumulate; i++) {
      const {value} = await batches.next();
      const {xs, ys} = value!;
      try {
        callback?.step();
        if (i === 0) blocks = trainingBlocks(model);
        sum += (await model.trainOnBatch(xs, ys)) as number;
        tokens += xs.size;
      } finally {
        tf.dispose([xs, ys]);
      }
    }
    this.step++;
    const [peakBytes, state] = [meter.peak(), optimizer.stateBytes];
    const weights = meter.current() - state;
    this.record({
      event: 'step',
      data: {
        step: this.step,
        ...{loss: sum / accumulate, learningRate, blocks, tokens, peakBytes},
        seconds: (performance.now() - start) / 1000,
        memory: {weights, state, activations: Math.max(0, peakBytes - weights - state)},
      },
    });
  }

  /** Measures the held-out loss, unless that is done; leaves it to the time after if the training is to wait. */
  private async evaluate({loaded: {model}, data}: Begun): Promise<void> {
    if (this.isRecorded('heldOut')) return;
    const isToWait = new Error('the training is to wait');
    const mayWait = this.step < data.steps;
    const batches = async function* (this: TrainingProgram): AsyncGenerator<TextBatch> {
      for await (const batch of data.heldOut()) {
        yield batch;
        await nextTurn();
        if (mayWait && this.wanted !== 'run') throw isToWait;
      }
    };
    try {
      const {loss} = await this.turns.take(() => perplexity(model, batches.call(this)));
      this.record({event: 'heldOut', data: {step: this.step, loss}});
    } catch (error) {
      if (error !== isToWait) throw error;
    }
  }

  /** Writes samples, unless that is done. */
  private async sample({loaded, tokenizer, data}: Begun): Promise<void> {
    if (this.isRecorded('sample')) return;
    const positions = loaded.config.maxPositionEmbeddings;
    const prompts = await samplePrompts(this.training.settings, tokenizer, data);
    for (const {ids, text: prompt} of prompts) {
      if (ids.length === 0 || ids.length > positions / 2) continue;
      const maxNewTokens = Math.min(SAMPLE_TOKENS, positions - ids.length);
      const text = await this.turns.take(() =>
        this.merged(() => writeText({...loaded, tokenizer}, ids, {maxNewTokens, seed: 0})),
      );
      this.record({event: 'sample', data: {step: this.step, prompt, text}});
    }
  }

  private isRecorded(event: HistoryEntry['event']): boolean {
    return this.history.some((entry) => entry.event === event && entry.data.step === this.step);
  }

  /** Saves a checkpoint, unless there is one of this step; if there is no room for it, says so and returns why. */
  private async saveOrSay(store: RunStore, begun: Begun): Promise<FineTuningError | null> {
    if (this.savedAt === this.step) return null;
    this.status({phase: 'saving', text: 'saving a checkpoint'});
    try {
      const {bytes} = await this.turns.take(async () =>
        saveCheckpoint(await store.checkpoints(), partsOf(begun), {
          keep: KEPT_CHECKPOINTS,
          extra: {history: this.history.map(withNulls)} satisfies Extra,
        }),
      );
      this.savedAt = this.step;
      const {step, loss, heldOut} = this.outcomeOf(begun.data.steps);
      await store.progress({step, loss: finite(loss), heldOut: finite(heldOut)});
      this.training.emit('checkpoint', {step, bytes});
      return null;
    } catch (cause) {
      const error = codedError(cause);
      if (error.code !== 'storage-full') throw error;
      this.training.emit('warning', {text: error.message, code: error.code});
      return error;
    }
  }

  /** Waits until the training is to go on, or to stop. */
  private async rest(failure: FineTuningError | null): Promise<void> {
    const {step} = this;
    const ended = new Promise<void>((resolve) => (this.goOn = resolve));
    this.training.emit('paused', {step});
    for (const {resolve, reject} of this.waiting.splice(0))
      if (failure) reject(failure);
      else resolve();
    await ended;
    this.goOn = null;
    if (this.wanted === 'run') this.training.emit('resumed', {step});
  }

  private outcomeOf(steps: number): Outcome {
    let [loss, seconds] = [NaN, 0];
    let heldOut: number | null = null;
    for (const {event, data} of this.history) {
      if (event === 'step') [loss, seconds] = [data.loss, seconds + data.seconds];
      if (event === 'heldOut') heldOut = data.loss;
    }
    return {step: this.step, steps, loss, heldOut, seconds, stopped: this.step < steps};
  }

  private async answer(
    messages: WorkerChatMessage[] | string,
    {of, maxTokens, temperature = 0, seed = null}: SentChatOptions,
    onText: (text: string) => void,
    signal: AbortSignal,
  ): Promise<string> {
    const {loaded, tokenizer} = this.there();
    const ids = promptIds(tokenizer, messages);
    const positions = loaded.config.maxPositionEmbeddings;
    const room = positions - ids.length;
    if (room < 1)
      throw new FineTuningError(
        'bad-option',
        `chat: the model takes ${positions} tokens, and the chat has ${ids.length}; begin a new one`,
      );
    const options = {maxNewTokens: Math.min(maxTokens ?? 128, room), temperature, seed, signal};
    if (of === 'before')
      return writeText({...(await this.modelBefore()), tokenizer}, ids, options, onText);
    return this.merged(() => writeText({...loaded, tokenizer}, ids, options, onText));
  }

  /** The model as it was before the training, which stays in memory from then on. */
  private async modelBefore(): Promise<LoadedLlama> {
    const {settings} = this.training;
    this.before ??= loadLlama(settings.model, {
      frozenDtype: 'auto',
      ...requestOf(settings),
    });
    try {
      return await this.before;
    } catch (error) {
      this.before = null;
      throw codedError(error, 'wrong-file');
    }
  }

  /** Calls `body` while adapters, if there are any, are part of the model's weights. */
  private async merged<T>(body: () => Promise<T>): Promise<T> {
    const {lora} = this.there().method;
    lora?.merge();
    try {
      return await body();
    } finally {
      lora?.unmerge();
    }
  }
}

function partsOf({loaded: {model}, method, training}: Begun): CheckpointParts {
  const {optimizer, callback} = method;
  return {model, optimizer, data: training, ...(callback && {callback})};
}

/** Has errors the code of a wrong file, unless something tells another. */
async function ofFiles<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw codedError(error, 'wrong-file');
  }
}

function finite(value: number | null): number | null {
  return Number.isFinite(value) ? value : null;
}

/** An entry as JSON has it: a loss may be infinite. */
function withNulls(entry: HistoryEntry): HistoryEntry {
  if (entry.event !== 'step' && entry.event !== 'heldOut') return entry;
  return {...entry, data: {...entry.data, loss: finite(entry.data.loss)}} as HistoryEntry;
}

function withNumbers(entry: HistoryEntry): HistoryEntry {
  if (entry.event !== 'step' && entry.event !== 'heldOut') return entry;
  return {...entry, data: {...entry.data, loss: entry.data.loss ?? NaN}} as HistoryEntry;
}
