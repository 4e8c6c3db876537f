import {IDBKeyRange, indexedDB} from 'fake-indexeddb';

/** Gives Node an IndexedDB, in memory, while the tests around run. */
export function useIndexedDb(): void {
  if ('indexedDB' in globalThis) return;
  const globals = {indexedDB, IDBKeyRange};
  before(() => void Object.assign(globalThis, globals));
  after(() => {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  });
}
