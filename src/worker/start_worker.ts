import type {FineTuneOptions} from './options';

/** A worker of this library: as the option `worker` makes it, or of the file beside this one. */
export function startWorker({worker}: Pick<FineTuneOptions, 'worker'>): Worker {
  if (worker) return worker();
  try {
    // the form in which bundlers find a worker's file
    return new Worker(new URL('./training_worker.js', import.meta.url), {type: 'module'});
  } catch (error) {
    if ((error as Error).name !== 'SecurityError') throw error;
    // a page may not start a script of another host as a worker, but one of its own that imports it
    const here = import.meta.url; // apart, so that no bundler takes it for the same form
    const script = `import ${JSON.stringify(new URL('./training_worker.js', here).href)};`;
    const url = URL.createObjectURL(new Blob([script], {type: 'text/javascript'}));
    return new Worker(url, {type: 'module'});
  }
}
