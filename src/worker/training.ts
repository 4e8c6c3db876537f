/** The program of a worker that trains: from files to a trained model, which then answers and is saved. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {JsonObject} from '../files/json';
import type {ModelSource} from '../files/source';
import {parseHubName} from '../files/hub_name';
import type {ResolvedConfig} from '../llama/config';
import {readConfigJson} from '../llama/files/config_json';
import {readModelConfig} from '../llama/files/load_llama';
import {
  generate,
  loadLlama,
  loadTokenizer,
  perplexity,
  saveGguf,
  saveLlama,
  sparseCrossEntropy,
  type ChatMessage,
  type LoadedLlama,
  type TextBatch,
  type TextDataset,
  type Tokenizer,
} from '../llama/index';
import {endTokens, TextStream} from '../llama/generation/text_stream';
import '../lora/index'; // which `paperMethod` has LoRA from
import {trainEmbedding} from '../memory/estimate/embedding_mode';
import {startMemoryMeter, type MemoryMeter} from '../memory/meter';
import {paperMethod, paperMethods, type MethodParts, type PaperMethod} from '../methods';
import {resolveBlocks} from '../model/blocks';
import {updateRules} from '../owlore/optimizer/rules';
import {rateOf, tenthOf} from '../training_defaults';
import type {SelectedBackend} from './backend';
import {joinedData, prepareData, type TrainingData} from './data';
import {FineTuningError} from './errors';
import type {FineTuningEvents, HistoryEntry, Outcome, RunInfo, StatusEvent} from './events';
import {codedError} from './failure';
import {estimateOf, plainBytesOf, tensorLimit} from './memory';
import type {SentChatOptions} from './messages';
import {nextTurn, Turns} from './next_turn';
import type {SaveForm, WorkerChatMessage} from './options';
import {chooseSampling, type Sampling} from './sampling';
import type {Settings} from './settings';

/** Tells the page. */
export type Emit = <Name extends keyof FineTuningEvents>(
  event: Name,
  data: FineTuningEvents[Name],
) => void;

/** Most tokens of a sample. */
const SAMPLE_TOKENS = 64;

/** What is there when the training has begun. */
interface Begun {
  selected: SelectedBackend;
  loaded: LoadedLlama;
  tokenizer: Tokenizer;
  data: TrainingData;
  sampling: Sampling;
  method: PaperMethod;
  training: TextDataset;
  meter: MemoryMeter;
}

export class Training {
  private readonly turns = new Turns();
  private begun: Begun | null = null;
  /** What was said of the steps. */
  private readonly history: HistoryEntry[] = [];
  private step = 0;
  private wanted: 'run' | 'pause' | 'stop' = 'run';
  /** What waits until the training does or has ended. */
  private readonly waiting: Array<() => void> = [];
  private goOn: (() => void) | null = null;
  private outcome: Promise<Outcome> | null = null;
  private model: {before: Promise<LoadedLlama> | null} = {before: null};

  constructor(
    private readonly owner: string,
    private readonly settings: Settings,
    private readonly emit: Emit,
    private readonly selectBackend: (settings: Settings) => Promise<SelectedBackend>,
  ) {}

  /** Trains to the end, or until it is stopped. */
  run(): Promise<Outcome> {
    this.outcome ??= this.train();
    return this.outcome;
  }

  async pause(): Promise<void> {
    if (this.wanted === 'run') this.wanted = 'pause';
    await this.untilItWaits();
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
      const {method} = this.there();
      method.optimizer.learningRate = rate;
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
      const {loaded, method} = this.there();
      this.status({phase: 'saving', text: 'writing the model'});
      const {model, dtype} = loaded;
      const files = new Map<string, Uint8Array>();
      if (form === 'adapter') {
        if (!method.lora)
          throw new FineTuningError(
            'bad-option',
            `save: only the method 'lora' has an adapter; save 'safetensors' or 'gguf'`,
          );
        await method.lora.save(files, {});
      } else {
        await this.merged<unknown>(() =>
          form === 'gguf' ? saveGguf(model, files) : saveLlama(model, files, {dtype}),
        );
      }
      return new Map(
        [...files].map(([name, bytes]) => [name, new Blob([bytes as Uint8Array<ArrayBuffer>])]),
      );
    });
  }

  private there(): Begun {
    if (this.begun) return this.begun;
    throw new FineTuningError(
      'bad-option',
      `${this.owner}: there is no model yet; wait for 'ready'`,
    );
  }

  private status(status: StatusEvent): void {
    this.emit('status', status);
  }

  private record(entry: HistoryEntry): void {
    this.history.push(entry);
    this.emit(entry.event, entry.data);
  }

  private async train(): Promise<Outcome> {
    try {
      const begun = await this.turns.take(() => this.begin());
      this.begun = begun;
      const outcome = await this.steps(begun);
      this.emit('done', outcome);
      return outcome;
    } catch (error) {
      throw codedError(error);
    } finally {
      this.wake();
    }
  }

  /** Reads everything and makes what trains. */
  private async begin(): Promise<Begun> {
    const {owner, settings} = this;
    this.status({phase: 'backend', text: 'starting the backend'});
    const selected = await this.selectBackend(settings);
    const {backend, threads} = selected;
    const source = settings.model as ModelSource;
    const request = requestOf(settings);
    this.status({phase: 'model', text: 'reading what the model is'});
    const opened = await ofFiles(() => openModel(owner, settings, request));
    const {configJson, config, tokenizer} = opened;
    this.status({phase: 'data', text: 'reading the examples'});
    const data = await ofFiles(async () =>
      prepareData(
        owner,
        settings,
        await joinedData(owner, settings.data, settings.dataset),
        opened,
        (done) => this.status({phase: 'data', text: 'reading the examples', done}),
      ),
    );
    const sized = {...settings, batchSize: data.batchSize};
    const estimate = estimateOf(sized, backend, configJson, config);
    const plainBytes = plainBytesOf(sized, backend, configJson, config);
    // not before, as it would keep counting the models of the estimates
    const meter = startMemoryMeter();
    const loaded = await ofFiles(() =>
      loadLlama(source, {
        headInLoss: true,
        ...(mayFreeze(settings) && {frozenDtype: settings.frozenDtype}),
        ...request,
        onDownload: (file, done, total) =>
          this.status({phase: 'model', text: `downloading ${file}`, done, total}),
        onProgress: (done, total) =>
          this.status({phase: 'model', text: 'reading the weights', done, total}),
      }),
    );
    const {model} = loaded;
    this.status({phase: 'scores', text: 'looking at the blocks'});
    const batches = (): TextDataset => data.training({repeat: false});
    const sampling = await chooseSampling(
      ...([owner, settings, model, {steps: data.steps, batches}, null] as const),
      (done, total) => this.status({phase: 'scores', text: 'scoring the blocks', done, total}),
    );
    const method = methodOf(settings, model, sampling, data.steps);
    method.callback?.events.on('sample', ({step, blocks}) =>
      this.record({
        event: 'period',
        data: {step, blocks: placesOf(sampling, blocks), why: sampling.why},
      }),
    );
    const {optimizer, callback} = method;
    model.compile({optimizer, loss: sparseCrossEntropy});
    await optimizer.ready();
    callback?.attach(model, optimizer);
    const maxLength = settings.maxLength ?? Math.min(512, config.maxPositionEmbeddings);
    const info: RunInfo = {
      run: null,
      ...{backend, threads, parameters: model.countParams(), blocks: sampling.blocks},
      ...{steps: data.steps, tokensPerStep: data.batchSize * maxLength * settings.accumulate},
      ...{examples: data.report.used, heldOutExamples: data.heldOutExamples},
      ...{estimate, plainBytes, limit: tensorLimit(backend)},
      ...{step: this.step, history: [...this.history]},
    };
    this.emit('ready', info);
    this.status({phase: 'training', text: 'training', done: this.step, total: data.steps});
    const training = data.training({repeat: true});
    return {selected, loaded, tokenizer, data, sampling, method, training, meter};
  }

  /** Makes step after step. */
  private async steps(begun: Begun): Promise<Outcome> {
    const {data, method, training} = begun;
    const {steps} = data;
    const tenth = tenthOf(steps);
    const {evaluateEvery = tenth, sampleEvery = tenth} = this.settings;
    const isDue = (every: number): boolean =>
      every > 0 && (this.step % every === 0 || this.step === steps);
    const batches = await training.iterator();
    try {
      for (;;) {
        if (this.wanted !== 'stop') {
          if (isDue(evaluateEvery)) await this.evaluate(begun);
          if (isDue(sampleEvery)) await this.sample(begun);
        }
        if (this.step === steps || this.wanted === 'stop') break;
        if (this.wanted === 'pause') {
          await this.rest();
          continue;
        }
        await this.turns.take(() => this.makeStep(begun, batches));
        await nextTurn();
      }
    } finally {
      await batches.return();
      method.callback?.restore();
    }
    return this.outcomeOf(steps);
  }

  private async makeStep(
    {method: {optimizer, callback}, loaded: {model}, sampling, meter}: Begun,
    batches: AsyncGenerator<TextBatch, void>,
  ): Promise<void> {
    const {accumulate} = this.settings;
    const {learningRate} = optimizer;
    const start = performance.now();
    let [sum, tokens] = [0, 0];
    meter.reset();
    let on: number[] = [];
    for (let i = 0; i < accumulate; i++) {
      const {value} = await batches.next();
      const {xs, ys} = value!;
      try {
        callback?.step();
        if (i === 0) on = trainingBlocks(model, sampling);
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
        ...{loss: sum / accumulate, learningRate, blocks: on, tokens, peakBytes},
        seconds: (performance.now() - start) / 1000,
        memory: {weights, state, activations: Math.max(0, peakBytes - weights - state)},
      },
    });
  }

  /** Measures the held-out loss, unless that is done; gives up if the training is to wait. */
  private async evaluate({loaded: {model}, data}: Begun): Promise<void> {
    if (this.recorded('heldOut')) return;
    const isToWait = new Error('the training is to wait');
    const batches = async function* (this: Training): AsyncGenerator<TextBatch> {
      const heldOut = data.heldOut();
      for await (const batch of heldOut) {
        yield batch;
        await nextTurn();
        // the last loss of all is worth waiting for
        if (this.wanted !== 'run' && this.step < data.steps) throw isToWait;
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
    if (this.recorded('sample')) return;
    const {config} = loaded;
    for (const {ids, text: prompt} of await promptsOf(this.settings, tokenizer, data)) {
      if (ids.length === 0 || ids.length > config.maxPositionEmbeddings / 2) continue;
      const text = await this.turns.take(() =>
        this.merged(() =>
          write({...loaded, tokenizer}, ids, {
            maxNewTokens: Math.min(SAMPLE_TOKENS, config.maxPositionEmbeddings - ids.length),
            seed: 0,
          }),
        ),
      );
      this.record({event: 'sample', data: {step: this.step, prompt, text}});
    }
  }

  private recorded(event: HistoryEntry['event']): boolean {
    const isIt = (entry: HistoryEntry): boolean =>
      entry.event === event && entry.data.step === this.step;
    return this.history.some(isIt);
  }

  /** Waits until the training is to go on, or to stop. */
  private async rest(): Promise<void> {
    const {step} = this;
    const ended = new Promise<void>((resolve) => (this.goOn = resolve));
    this.emit('paused', {step});
    this.wake();
    await ended;
    this.goOn = null;
    if (this.wanted !== 'stop') this.emit('resumed', {step});
  }

  private async untilItWaits(): Promise<void> {
    if (this.goOn) return;
    await Promise.race([
      new Promise<void>((resolve) => this.waiting.push(resolve)),
      this.run().then(
        () => undefined,
        () => undefined,
      ),
    ]);
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  private outcomeOf(steps: number): Outcome {
    let [loss, seconds] = [NaN, 0];
    let heldOut: number | null = null;
    for (const entry of this.history) {
      if (entry.event === 'step') [loss, seconds] = [entry.data.loss, seconds + entry.data.seconds];
      if (entry.event === 'heldOut') heldOut = entry.data.loss;
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
    const room = loaded.config.maxPositionEmbeddings - ids.length;
    if (room < 1)
      throw new FineTuningError(
        'bad-option',
        `chat: the model takes ${loaded.config.maxPositionEmbeddings} tokens, and the chat has ${ids.length}; begin a new one`,
      );
    const options = {maxNewTokens: Math.min(maxTokens ?? 128, room), temperature, seed, signal};
    if (of === 'before') return write({...(await this.before()), tokenizer}, ids, options, onText);
    return this.merged(() => write({...loaded, tokenizer}, ids, options, onText));
  }

  /** The model as it was before the training, which stays in memory from then on. */
  private async before(): Promise<LoadedLlama> {
    const {settings} = this;
    this.model.before ??= loadLlama(settings.model as ModelSource, {
      frozenDtype: 'auto',
      ...requestOf(settings),
    });
    try {
      return await this.model.before;
    } catch (error) {
      this.model.before = null;
      throw error;
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

/** Whether weights of a training may stay at 16 bits. */
function mayFreeze({method}: Settings): boolean {
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  return sampling !== null || lora;
}

/** What opens the files of a model that only a user with a token may read. */
export function requestOf({model, token}: Settings): {request?: RequestInit} {
  const isOfHub = typeof model === 'string' && parseHubName(model) !== null;
  return token === undefined || !isOfHub
    ? {}
    : {request: {headers: {authorization: `Bearer ${token}`}}};
}

/** What is known of a model before its weights are. */
export interface OpenedModel {
  configJson: JsonObject;
  config: ResolvedConfig;
  tokenizer: Tokenizer;
}

export async function openModel(
  owner: string,
  {model, dataset: {template}}: Settings,
  request: {request?: RequestInit},
): Promise<OpenedModel> {
  const source = model as ModelSource;
  const configJson = await readModelConfig(owner, source, request);
  const config = readConfigJson(`${owner}: config.json`, configJson);
  const tokenizer = await loadTokenizer(source, {...request, ...(template !== undefined && {chatTemplate: template})}); // prettier-ignore
  return {configJson, config, tokenizer};
}

/** Has errors the code of a wrong file, unless something tells another. */
async function ofFiles<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw codedError(error, 'wrong-file');
  }
}

/** The optimizer of a training, with its callback or its adapters. */
function methodOf(
  settings: Settings,
  model: tfl.LayersModel,
  {options}: Sampling,
  steps: number,
): PaperMethod {
  const {method, rank, refreshInterval, gradientCheckpointing, accumulate, seed, embedding} = settings; // prettier-ignore
  const {lora = false}: MethodParts = paperMethods[method];
  return paperMethod(method, model, {
    learningRate: rateOf(settings, steps),
    scale: updateRules.galore.publishedScale ?? 1,
    ...{rank, refreshInterval, gradientCheckpointing, accumulate},
    ...options,
    ...(lora && {seed}),
    ...trainEmbedding(embedding, model, method),
  });
}

function placesOf({blocks}: Sampling, names: readonly string[]): number[] {
  return blocks.flatMap(({name}, i) => (names.includes(name) ? [i] : []));
}

/** Of the blocks those that train now. */
function trainingBlocks(model: tfl.LayersModel, {blocks}: Sampling): number[] {
  const {registeredVariables} = tf.engine();
  const all = resolveBlocks(model);
  return blocks.flatMap((_, i) => {
    const variable = registeredVariables[all[i]!.weights[0]!.name];
    return variable?.trainable ? [i] : [];
  });
}

/** A prompt as the tokens that the model reads. */
function promptIds(tokenizer: Tokenizer, messages: WorkerChatMessage[] | string): number[] {
  const {hasChatTemplate} = tokenizer;
  if (typeof messages === 'string')
    return hasChatTemplate
      ? tokenizer.applyChatTemplate([{role: 'user', content: messages}], {
          addGenerationPrompt: true,
        })
      : tokenizer.encode(messages);
  if (hasChatTemplate)
    return tokenizer.applyChatTemplate(messages as ChatMessage[], {addGenerationPrompt: true});
  throw new FineTuningError(
    'bad-option',
    'chat: the model has no chat template, so that it knows no messages; give it a text, which it goes on with',
  );
}

/** What samples begin with: the prompts of the options, or the beginning of the first held-out example that has one. */
async function promptsOf(
  {prompts}: Settings,
  tokenizer: Tokenizer,
  data: TrainingData,
): Promise<Array<{ids: number[]; text: string}>> {
  if (prompts) return prompts.map((text) => ({ids: promptIds(tokenizer, text), text}));
  for await (const {ids, text} of data.heldOut().prompts()) return [{ids, text}];
  return [];
}

/** The text that a model writes after a prompt. */
async function write(
  {
    model,
    config,
    generationConfig,
    tokenizer,
  }: Pick<LoadedLlama, 'model' | 'config' | 'generationConfig'> & {tokenizer: Tokenizer},
  ids: number[],
  options: {
    maxNewTokens: number;
    temperature?: number;
    seed: number | null;
    signal?: AbortSignal;
  },
  onText: (text: string) => void = () => undefined,
): Promise<string> {
  const stream = new TextStream(tokenizer, ids, []);
  const say = (text: string): void => {
    if (text !== '') onText(text);
  };
  await generate(model, ids, {
    ...options,
    stop: endTokens({tokenizer, config, generationConfig}),
    onToken: (id) => say(stream.push(id)),
  });
  say(stream.end());
  return stream.text;
}
