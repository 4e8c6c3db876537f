import type {Inspection} from './events';
import {FineTuning} from './fine_tuning';
import {Inspector} from './inspector';
import type {FineTuneOptions, ResumeOptions} from './options';
import {startWorker} from './start_worker';

export {browserStorage} from '../files/browser_storage';
export type {
  DirectoryHandle,
  FileHandle,
  SyncHandle,
  WritableHandle,
} from '../files/directory_handle';
export {deleteKeptModel, listKeptModels, type KeptModel} from '../llama/hub/kept_models';
export {deleteRun, listRuns, type RunSummary} from './runs';

export {FineTuning} from './fine_tuning';
export {FineTuningError, type FineTuningErrorCode} from './errors';
export type {
  BlockInfo,
  EstimatedMemory,
  FineTuningEvents,
  HeldOutEvent,
  HistoryEntry,
  Inspection,
  Outcome,
  PeriodEvent,
  PromptStyle,
  RateEvent,
  RunInfo,
  RunOptions,
  SampleTextEvent,
  StatusEvent,
  StepEvent,
  StorageNeed,
} from './events';
export type {
  DatasetForms,
  FineTuneOptions,
  ResumeOptions,
  SaveForm,
  WorkerBackend,
  WorkerChatMessage,
  WorkerChatOptions,
  WorkerModel,
} from './options';

/**
 * Fine-tunes a language model in a Web Worker of its own, by the defaults of `tfjs-owlore finetune`, and keeps it in the browser's
 * storage. The page loads a few kB; tfjs, this library and the model are the worker's.
 *
 * ```ts
 * const training = fineTuneInWorker({model: 'HuggingFaceTB/SmolLM2-135M-Instruct', data: {'chats.jsonl': file}});
 * training.on('step', ({step, loss}) => console.log(step, loss));
 * await training.finished;
 * console.log(await training.chat('What is a whale?'));
 * training.dispose();
 * ```
 *
 * Wrong options, like all other errors, reject `ready` and `finished`.
 */
export function fineTuneInWorker({worker, ...options}: FineTuneOptions): FineTuning {
  return new FineTuning(startWorker({worker}), 'start', [options]);
}

/**
 * Goes on with a run that is in the browser's storage, from its newest checkpoint, as if it had not stopped: with the same losses to the
 * last bit on the same backend. `ready` has what was said until then. One that is done is only opened, to chat with and to save, as any is
 * with `train: false`.
 *
 * ```ts
 * const [run] = await listRuns();
 * const training = resumeInWorker(run.name);
 * ```
 *
 * @param run Its name.
 * @param options What is of this device, and not of the run, and whether it trains on.
 */
export function resumeInWorker(run: string, {worker, ...options}: ResumeOptions = {}): FineTuning {
  return new FineTuning(startWorker({worker}), 'resumeRun', [run, options]);
}

const inspector = new Inspector();

/** How {@link inspectInWorker} is called. */
export interface InspectionCall {
  /** Ends it. */
  signal?: AbortSignal;
  /** Called with the bytes of the data that are read and with all of them, where that is not done at once: all examples are tokenized. */
  onProgress?: (progress: {done: number; total: number}) => void;
}

/**
 * Says what a training would be, before any weight is read: what it takes and what there is room for, by which change it would fit where it
 * does not, and what the model is asked and learns. Calls share a worker, and a newer call takes the place of one that has not ended, which
 * rejects, as it does when `signal` is aborted.
 *
 * ```ts
 * const {estimate, limit, nearest} = await inspectInWorker({model, data, gamma: 3});
 * ```
 *
 * @throws FineTuningError as {@link fineTuneInWorker} would.
 */
export function inspectInWorker(
  options: FineTuneOptions,
  {signal, onProgress}: InspectionCall = {},
): Promise<Inspection> {
  return inspector.inspect(options, signal, onProgress);
}
