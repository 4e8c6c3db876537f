import {IDBKeyRange, indexedDB} from 'fake-indexeddb';

/** Gives Node an IndexedDB, in memory. */
export function provideIndexedDb(): void {
  if (!('indexedDB' in globalThis)) Object.assign(globalThis, {indexedDB, IDBKeyRange});
}
