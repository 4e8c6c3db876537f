/**
 * A part of this library that not every program needs. A page loads it on first use, as a chunk of its bundle; where
 * `preload/` was imported, as in Node, it is there from the start.
 */
export class OnDemand<T> {
  private part: T | undefined;
  private loading: Promise<T> | undefined;
  private hasFailed = false;

  constructor(private readonly fetch: () => Promise<T>) {}

  /** The part, once it is loaded or provided. */
  get loaded(): T | undefined {
    return this.part;
  }

  /** Whether loading has begun and neither succeeded nor failed. */
  get isLoading(): boolean {
    return this.loading !== undefined && this.part === undefined && !this.hasFailed;
  }

  /** Resolves to the part; rejects, each time, if it could not be loaded. */
  load(): Promise<T> {
    this.loading ??= this.fetch().then(
      (part) => (this.part = part),
      (error: unknown) => {
        this.hasFailed = true;
        throw error;
      },
    );
    return this.loading;
  }

  /** Sets the part, which was imported elsewhere. */
  provide(part: T): void {
    this.part = part;
    this.loading = Promise.resolve(part);
  }
}

/** Loads a part that only the entry for Node provides: it rejects. */
export function onlyInNode(): Promise<never> {
  return Promise.reject(new Error('only Node has it.'));
}
