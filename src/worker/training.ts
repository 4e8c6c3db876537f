/** The program of a worker that trains: step after step, and between two steps what its page asks for. */
import * as tf from '@tensorflow/tfjs-core';
import {saveCheckpoint} from '../checkpoint/save_checkpoint';
import {perplexity, type TextBatch} from '../llama/index';
import {rateFrom, tenthOf} from '../training_defaults';
import {begin, partsOf, type Begun, type Training} from './begin';
import {cardOf} from './card';
import {Chat} from './chat';
import {FineTuningError} from './errors';
import type {Outcome} from './events';
import {codedError} from './failure';
import {finite, History} from './history';
import {merged, trainingBlocks} from './model';
import {nextTurn} from '../common/next_turn';
import {Turns} from './turns';
import type {SaveForm} from './options';
import {Pace} from './pace';
import type {RunStore} from './run_store';
import type {Rest} from './runs';
import {SavePace} from './save_pace';
import {saveModel} from './saving';
import {samplePrompts, writeText, type WrittenText} from './texts';

/** How samples are drawn: with the same draws each time, so that only what was learnt makes a difference. */
const SAMPLES = {temperature: 0.7, seed: 0};

/** Most tokens of a sample. */
const SAMPLE_TOKENS = 64;

/** Milliseconds after which it is told, and told again, how much of the held-out loss is measured. */
const PATIENCE = 1000;

/** Checkpoints that stay; while the next one is written, the one before it is there. */
const KEPT_CHECKPOINTS = 1;

export class TrainingProgram {
  private readonly turns = new Turns();
  private readonly pace = new Pace();
  private readonly savePace = new SavePace();
  private readonly history: History;
  private readonly answers: Chat;
  private begun: Begun | null = null;
  private step = 0;
  /** The step of the newest checkpoint; -1: there is none. */
  private savedAt = -1;
  /** How many entries of the history the storage has. */
  private keptEntries = 0;
  /** Whether a checkpoint is wanted after the step that is being made. */
  private isAskedToSave = false;
  private outcome: Promise<Outcome> | null = null;

  constructor(private readonly training: Training) {
    this.history = new History(({event, data}) => training.emit(event, data));
    this.answers = new Chat(training.settings);
  }

  /** Trains to the end, or until it is stopped. */
  run(): Promise<Outcome> {
    this.outcome ??= this.train();
    return this.outcome;
  }

  /** Resolves when the training waits, or has ended. */
  async pause(): Promise<void> {
    const end = this.run().then(
      () => undefined,
      () => undefined,
    );
    await Promise.race([this.pace.pause(), end]);
  }

  resume(): void {
    this.pace.resume();
  }

  /** Has a checkpoint saved after the step that is being made. */
  checkpoint(): void {
    this.isAskedToSave = true;
  }

  stop(): Promise<Outcome> {
    this.pace.stop();
    return this.run();
  }

  /** Sets the rate of the next step, from which it goes on by the schedule. */
  async setLearningRate(rate: number): Promise<void> {
    const {settings, store, isToTrain} = this.training;
    const begun = await this.turns.take(() => {
      const {method, data} = this.there();
      if (!isToTrain || this.step >= data.steps) return null;
      method.optimizer.learningRate = rateFrom(this.step, {...settings, learningRate: rate}, data.steps); // prettier-ignore
      this.history.add({event: 'rate', data: {step: this.step + 1, learningRate: rate}});
      return this.begun;
    });
    if (!begun || !store) return;
    // while it rests nothing else saves; while it trains the tab may be gone before the next checkpoint
    if (store.rest) await this.saveOrSay(store, begun);
    else this.checkpoint();
  }

  /** Has the model answer. */
  chat(
    ...[messages, options, onText, signal]: Skip<Parameters<Chat['answer']>>
  ): Promise<WrittenText> {
    return this.turns.take(() =>
      this.answers.answer(this.there(), messages, options, onText, signal),
    );
  }

  /** The files of the model as it is. */
  save(form: SaveForm): Promise<Map<string, Blob>> {
    return this.turns.take(() => {
      const {settings, store, emit} = this.training;
      const begun = this.there();
      emit('status', {phase: 'saving', text: 'writing the model'});
      const progress = {step: this.step, steps: begun.data.steps};
      const card = cardOf(
        begun.options,
        Object.keys(settings.data),
        this.history.entries,
        progress,
      );
      return saveModel(begun, form, store, card);
    });
  }

  /** Deletes the files of {@link TrainingProgram.save}. */
  deleteSaved(): Promise<void> {
    return this.turns.take(async () => this.training.store?.deleteSaved());
  }

  private there(): Begun {
    if (this.begun) return this.begun;
    throw new FineTuningError(
      'bad-option',
      `${this.training.owner}: there is no model yet; wait for 'ready'`,
    );
  }

  private async train(): Promise<Outcome> {
    try {
      const begun = await this.turns.take(async () => {
        this.begun = await begin(this.training, this.history);
        const {resumedAt} = this.begun;
        [this.step, this.savedAt] = [resumedAt ?? 0, resumedAt ?? -1];
        this.keptEntries = this.history.entries.length;
        return this.begun;
      });
      try {
        if (this.training.isToTrain) await this.makeSteps(begun);
      } finally {
        begun.method.callback?.restore();
      }
      const outcome = this.history.outcome(this.step, begun.data.steps);
      this.training.emit('done', outcome);
      return outcome;
    } catch (error) {
      throw await codedError(error);
    }
  }

  /** Makes step after step. */
  private async makeSteps(begun: Begun): Promise<void> {
    const {settings, store} = this.training;
    const {pace, savePace} = this;
    const {steps} = begun.data;
    const tenth = tenthOf(steps);
    const {evaluateEvery = tenth, sampleEvery = tenth, saveEvery} = settings;
    const isDue = (every: number): boolean =>
      every > 0 && (this.step % every === 0 || this.step === steps);
    const isSaveDue = (): boolean => (saveEvery === undefined ? savePace.isDue : isDue(saveEvery));
    const batches = await begun.training.iterator();
    savePace.begin();
    try {
      for (;;) {
        // what is to wait comes to these when it goes on
        const isFree = (): boolean => pace.wanted === 'run' && this.step < steps;
        if (isFree() && isDue(evaluateEvery)) await this.evaluate(begun, isFree);
        if (isFree() && isDue(sampleEvery)) await this.sample(begun);
        const isOver = this.step === steps || pace.wanted === 'stop';
        // a model that has come to no numbers does not take the place of the one before
        const isSound = Number.isFinite(this.history.heldOutLoss ?? 0);
        const isSaveWanted = this.step > 0 && isSound && (this.isAskedToSave || isSaveDue());
        // also that it goes on, where it is noted that it rests
        const isNoteDue = store !== null && this.wantedRest !== store.rest;
        const isToSave = isOver || pace.wanted === 'pause' || isSaveWanted || isNoteDue;
        this.isAskedToSave = false;
        let failure = store && isToSave ? await this.saveOrSay(store, begun) : null;
        // of the model that stays, once it is saved; before the first step it is the one that was given
        if (isOver && this.step > 0) {
          await this.evaluate(begun);
          if (sampleEvery > 0) await this.sample(begun);
          if (store && !failure) failure = await this.saveOrSay(store, begun);
        }
        if (isOver && !failure) break;
        if (failure && pace.wanted === 'stop') throw failure;
        // without room nothing is lost as long as it waits
        if (failure || pace.wanted === 'pause') await this.rest(failure);
        else await this.turns.take(() => this.makeStep(begun, batches));
        await nextTurn();
      }
    } finally {
      await batches.return();
    }
  }

  /** How the run is to rest at the step that is made; null: it is to go on, or is done. */
  private get wantedRest(): Rest | null {
    if (this.step === this.there().data.steps) return null;
    return ({run: null, pause: 'paused', stop: 'stopped'} as const)[this.pace.wanted];
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
    await optimizer.settled(); // throws where the loss is of a device that was lost
    this.step++;
    const [peakBytes, state] = [meter.peak(), optimizer.stateBytes];
    const weights = meter.current() - state;
    this.history.add({
      event: 'step',
      data: {
        step: this.step,
        ...{loss: sum / accumulate, learningRate, blocks, tokens, peakBytes},
        seconds: (performance.now() - start) / 1000,
        memory: {weights, state, activations: Math.max(0, peakBytes - weights - state)},
      },
    });
  }

  /** Measures the held-out loss, unless that is done, or is not to go on. */
  private async evaluate(
    {loaded: {model}, data}: Begun,
    isToGoOn: () => boolean = () => true,
  ): Promise<void> {
    const {step} = this;
    if (this.history.has('heldOut', step)) return;
    const left = new Error('the held-out loss is not to be measured now');
    const {emit} = this.training;
    const dataset = data.heldOut();
    let told = performance.now();
    const batches = async function* (): AsyncGenerator<TextBatch> {
      for await (const batch of dataset) {
        yield batch;
        await nextTurn();
        if (!isToGoOn()) throw left;
        if (performance.now() - told < PATIENCE) continue;
        told = performance.now();
        const [done, total] = [dataset.report.used, data.heldOutExamples];
        emit('status', {phase: 'heldOut', text: 'measuring the held-out loss', done, total});
      }
    };
    try {
      const {loss} = await this.turns.take(() => perplexity(model, batches()));
      this.history.add({event: 'heldOut', data: {step, loss}});
    } catch (error) {
      if (error !== left) throw error;
    }
  }

  /** Writes samples, unless that is done. */
  private async sample({loaded, tokenizer, data, method}: Begun): Promise<void> {
    const {step} = this;
    if (this.history.has('sample', step)) return;
    const positions = loaded.config.maxPositionEmbeddings;
    const prompts = await samplePrompts(this.training.settings, tokenizer, data, positions);
    for (const {ids, text: prompt, isAsked: isAnswer} of prompts) {
      if (ids.length === 0 || ids.length >= positions) continue;
      const maxNewTokens = Math.min(SAMPLE_TOKENS, positions - ids.length);
      const {text, isCut} = await this.turns.take(() =>
        merged(method, () => writeText({...loaded, tokenizer}, ids, {maxNewTokens, ...SAMPLES})),
      );
      this.history.add({event: 'sample', data: {step, prompt, text, isAnswer, isCut}});
    }
  }

  /** Saves what is not saved of this step; if there is no room for it, says so and returns why. */
  private async saveOrSay(store: RunStore, begun: Begun): Promise<FineTuningError | null> {
    const {emit} = this.training;
    try {
      const saved = this.savedAt === this.step ? null : await this.saveCheckpoint(store, begun);
      await this.turns.take(() => this.note(store, begun));
      if (saved) emit('checkpoint', saved);
      return null;
    } catch (cause) {
      const error = await codedError(cause);
      if (error.code !== 'storage-full') throw error;
      emit('warning', {text: error.message, code: error.code});
      return error;
    }
  }

  private saveCheckpoint(store: RunStore, begun: Begun): Promise<{step: number; bytes: number}> {
    const {step, history} = this;
    this.training.emit('status', {phase: 'saving', text: 'saving a checkpoint'});
    return this.turns.take(async () => {
      const {bytes} = await this.savePace.measure(async () =>
        saveCheckpoint(await store.checkpoints(), partsOf(begun), {
          keep: KEPT_CHECKPOINTS,
          extra: history.keep(),
        }),
      );
      this.savedAt = step;
      return {step, bytes};
    });
  }

  /** Notes beside the checkpoint how far the run is, whether it rests, and what was said since, for which no weights are written. */
  private async note(store: RunStore, {data: {steps}}: Begun): Promise<void> {
    const {step, history, wantedRest: rest} = this;
    const {length} = history.entries;
    if (length === this.keptEntries && rest === store.rest) return;
    const {loss, heldOut} = history.outcome(step, steps);
    const since = history.keepSince();
    await store.progress({step, loss: finite(loss), heldOut: finite(heldOut), since, rest});
    this.keptEntries = length;
  }

  /** Waits until the training is to go on, or to stop. */
  private async rest(failure: FineTuningError | null): Promise<void> {
    const {step} = this;
    const {emit} = this.training;
    await this.pace.rest(failure, () => emit('paused', {step}));
    // what could not be saved stays due
    if (!failure) this.savePace.begin();
    if (this.pace.wanted === 'run') emit('resumed', {step});
  }
}

/** All but the first. */
type Skip<Args extends unknown[]> = Args extends [unknown, ...infer Rest] ? Rest : never;
