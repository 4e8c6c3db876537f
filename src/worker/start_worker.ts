import type {FineTuneOptions} from './options';

/** A worker of this library: as the option `worker` makes it, or of the file beside this one, which bundlers find by this form. */
export function startWorker({worker}: Pick<FineTuneOptions, 'worker'>): Worker {
  if (worker) return worker();
  return new Worker(new URL('./training_worker.js', import.meta.url), {type: 'module'});
}
