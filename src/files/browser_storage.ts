import type {DirectoryHandle} from './directory_handle';

/** The name of the folder, or of the database. */
const NAME = 'tfjs-owlore';

/**
 * The folder of this library in the browser's storage for the page's origin: where training runs and models are kept. It is in the origin
 * private file system, or in IndexedDB where there is none. Nobody but pages of the same origin, and their workers, sees it. The
 * browser may remove it when space is short, unless `navigator.storage.persist()` was granted.
 *
 * @throws Error if the browser gives this page no storage.
 */
export async function browserStorage(): Promise<DirectoryHandle> {
  const {storage} = (globalThis.navigator ?? {}) as Partial<Navigator>;
  // refused in private windows of some browsers
  const root = await storage?.getDirectory?.().catch(() => null);
  if (root) return root.getDirectoryHandle(NAME, {create: true});
  if (typeof indexedDB === 'undefined')
    throw new Error('browserStorage: the browser gives this page no storage of its own');
  const {indexedDbFolder} = await import('./indexed_db_folder');
  return indexedDbFolder(NAME);
}
