import {FineTuning} from './fine_tuning';
import type {FineTuneOptions} from './options';
import {startWorker} from './start_worker';

export {browserStorage} from '../files/browser_storage';
export type {DirectoryHandle, FileHandle} from '../files/directory_handle';
export {deleteKeptModel, listKeptModels, type KeptModel} from '../llama/hub/kept_models';
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
  RateEvent,
  RunInfo,
  SampleTextEvent,
  StatusEvent,
  StepEvent,
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
