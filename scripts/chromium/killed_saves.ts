/** What the page of `storage.ts` does with a worker that saves: it ends it at any time, and looks whether the files are of one save. */
import {browserStorage} from '../../src/files/browser_storage';
import {listFiles} from '../../src/files/list_files';
import {openSink} from '../../src/files/open_sink';
import {openSource} from '../../src/files/open_source';
import {writeFile} from '../../src/files/sink';
import {readWhole} from '../../src/files/source';

export const PATHS = ['model.safetensors', 'tokenizer.json', 'config.json'] as const;
/** Bytes of a file. */
export const SIZE = 2 ** 18;

/** What came of it. */
export interface KilledSaves {
  kills: number;
  /** The number of the last save. */
  saved: number;
  /** What is in the folder when all is over. */
  files: string[];
}

/** @throws Error if files are of two saves, or of one before one that had been done. */
export async function killedSaves(kills: number): Promise<KilledSaves> {
  const storage = await browserStorage();
  await storage.removeEntry('killed', {recursive: true}).catch(() => undefined);
  const folder = await storage.getDirectoryHandle('killed', {create: true});
  let saved = 0;
  for (let kill = 0; kill <= kills; kill++) {
    const worker = new Worker(`/saver.js?from=${saved}`, {type: 'module'});
    let done = saved;
    await new Promise<void>((resolve, reject) => {
      worker.onerror = ({message}) => reject(new Error(message));
      worker.onmessage = ({data}: MessageEvent<number>) => {
        done = data;
        // the first save shows that it runs; then it is ended in the middle of one, but the last time
        if (kill === kills) resolve();
        else setTimeout(resolve, (37 * kill) % 120);
      };
    });
    worker.terminate();
    const found = await settledNumbers(folder);
    if (new Set(found).size > 1 || found[0]! < done)
      throw new Error(`after ${done} saves the files are of ${found.join(', ')}`);
    saved = found[0]!;
  }
  // which removes what those have left that were ended
  const sink = openSink('test', folder);
  await writeFile(sink, 'README.md', 0, []);
  await sink.commit(() => false);
  return {kills, saved, files: await listFiles('test', folder)};
}

/**
 * The numbers of which the files are. What a worker has asked the browser for before its end may come while they are read; then they are
 * read again.
 */
async function settledNumbers(
  folder: Awaited<ReturnType<typeof browserStorage>>,
): Promise<number[]> {
  const read = (path: string): Promise<number> =>
    numberIn(folder, path).catch((error: unknown) => {
      if (!String(error).includes('changed while it was read')) throw error;
      return -1;
    });
  for (let before = ''; ;) {
    const numbers = await Promise.all(PATHS.map(read));
    if (numbers.join() === before) return numbers;
    before = numbers.join();
  }
}

/** The number of which a file is. */
async function numberIn(
  folder: Awaited<ReturnType<typeof browserStorage>>,
  path: string,
): Promise<number> {
  const bytes = await readWhole('test', openSource('test', folder), path, SIZE);
  const numbers = new Set(new Uint32Array(bytes!.slice().buffer));
  if (bytes!.length !== SIZE || numbers.size !== 1) throw new Error(`${path} is not whole`);
  return [...numbers][0]!;
}
