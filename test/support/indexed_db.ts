import {IDBFactory, IDBKeyRange} from 'fake-indexeddb';

/** Gives Node an IndexedDB, in memory, while the tests around run: an empty one, whatever the files before kept in theirs. */
export function useIndexedDb(): void {
  if ('indexedDB' in globalThis) return;
  const globals = {indexedDB: new IDBFactory(), IDBKeyRange};
  before(() => void Object.assign(globalThis, globals));
  after(() => {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  });
}
