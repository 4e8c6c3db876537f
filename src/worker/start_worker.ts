import type {FineTuneOptions} from './options';

/** Not written out where it is no part of the form that bundlers know. */
const FILE = './training_worker.js';

/** A worker of this library: as the option `worker` makes it, or of the file beside this one. */
export function startWorker({worker}: Pick<FineTuneOptions, 'worker'>): Worker {
  if (worker) return worker();
  try {
    // the form in which bundlers find a worker's file
    return new Worker(new URL('./training_worker.js', import.meta.url), {type: 'module'});
  } catch (error) {
    if ((error as Error).name !== 'SecurityError') throw error;
    // a page may not start a script of another host as a worker, but one of its own that imports it
    const script = `import ${JSON.stringify(new URL(FILE, import.meta.url).href)};`;
    const url = URL.createObjectURL(new Blob([script], {type: 'text/javascript'}));
    return new Worker(url, {type: 'module'});
  }
}
