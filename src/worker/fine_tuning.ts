import {EventEmitter} from 'eventemitter3';
import type {FineTuningEvents, Outcome, RunInfo} from './events';
import {FineTuningError} from './errors';
import {Link, type WorkerLike} from './link';
import type {Calls} from './messages';
import type {SaveForm, WorkerChatMessage, WorkerChatOptions} from './options';

type Listener<Name extends keyof FineTuningEvents> = (data: FineTuningEvents[Name]) => void;

/**
 * A training in a Web Worker, of {@link fineTuneInWorker} or {@link resumeInWorker}: what happens comes as events, and between two steps
 * it does what it is asked for. The worker is the page's until {@link FineTuning.dispose}.
 */
export class FineTuning {
  /** Resolves when the first step is about to begin; rejects if it never will. */
  readonly ready: Promise<RunInfo>;
  /**
   * Resolves when the last step is made, or the training was stopped; the worker stays, to chat and to save. Rejects with a
   * {@link FineTuningError}: what is in the browser's storage by then stays there.
   */
  readonly finished: Promise<Outcome>;

  private readonly events = new EventEmitter();
  private readonly link: Link;

  /** @internal */
  constructor(
    worker: WorkerLike,
    ...[call, args]:
      ['start', Parameters<Calls['start']>] | ['resumeRun', Parameters<Calls['resumeRun']>]
  ) {
    this.link = new Link(worker, ({event, data}) => this.events.emit(event, data));
    this.finished = this.link.call(call, args);
    this.ready = new Promise((resolve, reject) => {
      this.events.once('ready', resolve);
      this.finished.then(
        () => reject(new FineTuningError('failed', 'the training ended before its first step')),
        reject,
      );
    });
    // the same error is that of `finished`
    this.ready.catch(() => undefined);
  }

  /** Calls a listener with each event of a name, see {@link FineTuningEvents}. */
  on<Name extends keyof FineTuningEvents>(event: Name, listener: Listener<Name>): this {
    this.events.on(event, listener);
    return this;
  }

  /** Calls a listener no more. */
  off<Name extends keyof FineTuningEvents>(event: Name, listener: Listener<Name>): this {
    this.events.off(event, listener);
    return this;
  }

  /**
   * Waits after the current step, with a checkpoint in the browser's storage. Resolves when it waits, or when the training has ended.
   *
   * @throws FineTuningError if the checkpoint cannot be written; the training waits all the same.
   */
  pause(): Promise<void> {
    return this.link.call('pause', []);
  }

  /** Goes on after {@link FineTuning.pause}. */
  resume(): void {
    void this.link.call('resume', []).catch(() => undefined);
  }

  /**
   * Has a checkpoint saved after the current step, as for a page that is hidden and may not come back. The event `checkpoint` tells when
   * it is there; one of the same step is not saved again.
   */
  checkpoint(): void {
    void this.link.call('checkpoint', []).catch(() => undefined);
  }

  /**
   * Ends the training after the current step, with a checkpoint in the browser's storage, from which {@link resumeInWorker} goes on, and
   * then the held-out loss of the model as it is, and a sample. Before the first step none is taken.
   *
   * @returns the same as `finished`.
   */
  stop(): Promise<Outcome> {
    void this.link.call('stop', []).catch(() => undefined);
    return this.finished;
  }

  /**
   * Sets the learning rate of the next step, from which it goes on by the schedule; a warm-up is over then. A run
   * keeps it: while it trains, by a checkpoint after that step. After the last step, and in a run that was only opened, it changes nothing.
   *
   * @throws FineTuningError unless it is a finite number ≥ 0.
   */
  setLearningRate(rate: number): void {
    if (!(Number.isFinite(rate) && rate >= 0))
      throw new FineTuningError(
        'bad-option',
        `FineTuning: a learning rate must be a number >= 0; got ${rate}`,
      );
    void this.link.call('setLearningRate', [rate]).catch(() => undefined);
  }

  /**
   * Has the model answer, between two steps while it trains. `of: 'before'` loads the model as it was a second time, and keeps it:
   * in matrices of 16 bits if its files have these.
   *
   * @param messages A text: a prompt, which is asked in the form that the examples have (`RunInfo.promptStyle`), by the model's chat
   *   template where these are texts or chats, or else gone on with. Or the messages of a chat, for a model with a template.
   * @returns the answer, as far as it came if `signal` ended it.
   * @throws FineTuningError if the messages leave no room for an answer, or the tab has no memory for the model before.
   */
  async chat(
    messages: readonly WorkerChatMessage[] | string,
    options: WorkerChatOptions = {},
  ): Promise<string> {
    const {of = 'after', maxTokens, temperature, seed, onText, onCut, signal} = options;
    const {text, isCut} = await this.link.call(
      'chat',
      [typeof messages === 'string' ? messages : [...messages], {of, maxTokens, temperature, seed}],
      {...(onText && {onText}), ...(signal && {signal})},
    );
    if (isCut) onCut?.();
    return text;
  }

  /**
   * Saves the model as it is, between two steps while it trains: through the browser's storage, of which the files are views, so that it
   * is in memory no second time; with `run: null` in memory.
   *
   * @param form A folder as Hugging Face has it, with a model card, in the number type of the model's own files; one GGUF file; or with `'lora'` its
   *   adapter, as peft has it, with a card.
   * @returns the files by name. They are good until the next save of the same form, or until the run is opened again or deleted, and
   *   stay in the storage until then, or until {@link FineTuning.deleteSaved}.
   */
  save(form: SaveForm): Promise<Map<string, Blob>> {
    return this.link.call('save', [form]);
  }

  /** Deletes from the browser's storage what was saved: the files of {@link FineTuning.save} are good no more. The run stays. */
  deleteSaved(): Promise<void> {
    return this.link.call('deleteSaved', []);
  }

  /** Ends the worker, at once. What has not been answered is rejected; what is in the browser's storage stays. */
  dispose(): void {
    // nobody need wait for the end of what was given up
    this.finished.catch(() => undefined);
    this.link.close();
    this.events.removeAllListeners();
  }
}
