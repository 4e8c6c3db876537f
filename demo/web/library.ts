/** The library, from its source, and its worker as this page bundles it. */
import workerUrl from './training_worker?worker&url';
import type {FineTuneOptions, FineTuning, Inspection, ResumeOptions} from '../../src/worker/index';

export * from '../../src/worker/index';

/**
 * Starts the library's worker. It begins as a blob, because such a worker has the page's content security policy, whereas one of a file has the
 * policy that the file's host sends, which is none on many.
 */
export function makeWorker(): Worker {
  const script = `import ${JSON.stringify(new URL(workerUrl, document.baseURI).href)};`;
  const url = URL.createObjectURL(new Blob([script], {type: 'text/javascript'}));
  const worker = new Worker(url, {type: 'module'});
  // By its first message it has been loaded.
  worker.addEventListener('message', () => URL.revokeObjectURL(url), {once: true});
  return worker;
}

// What the library has not yet: the page says so.

/** A run of this browser's storage. */
export interface RunSummary {
  name: string;
  model: string;
  data: string;
  method: string;
  step: number;
  steps: number;
  loss: number | null;
  heldOut: number | null;
  bytes: number;
  changed: number;
  state: 'running' | 'stopped' | 'done';
}

export const listRuns = async (): Promise<RunSummary[]> => [];
export const deleteRun = async (_name: string): Promise<void> => undefined;
export const inspectInWorker = (_options: FineTuneOptions): Promise<Inspection> =>
  Promise.reject(new Error('No estimate yet'));
export const resumeInWorker = (_run: string, _options?: ResumeOptions): FineTuning => {
  throw new Error('this run cannot go on yet');
};
