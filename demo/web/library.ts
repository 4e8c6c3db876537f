/** The library, from its source, and its worker as this page bundles it. */
import workerUrl from './training_worker?worker&url';

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
