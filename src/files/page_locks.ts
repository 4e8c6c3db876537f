/** Locks that pages and workers of an origin share, and that end with them. */

/** What a lock is called; other libraries of the page have locks, too. */
export const lockName = (what: string): string => `tfjs-owlore ${what}`;

/** None in pages that do not come by https, and in older programs. */
export function lockManager(): LockManager | undefined {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.locks;
}

/** By lock, what runs last under it, where there is no manager. */
const running = new Map<string, Promise<unknown>>();

/**
 * Runs `body` while no other page or worker does so under this name; without a {@link lockManager}, while nobody in this one does.
 *
 * @param signal Ends the waiting.
 */
export async function exclusively<T>(
  what: string,
  body: () => Promise<T>,
  signal?: AbortSignal | null,
): Promise<T> {
  const lock = lockName(what);
  const locks = lockManager();
  if (locks) return locks.request(lock, signal ? {signal} : {}, body);
  const work = (running.get(lock) ?? Promise.resolve()).then(body, body);
  running.set(lock, work);
  return work;
}
