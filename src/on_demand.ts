/**
 * A part of this library that not every program needs. A page loads it on first use, as a chunk of its bundle; where
 * `preload.ts` was imported, as in Node, it is there from the start.
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

/** The kernels of a backend. */
export interface KernelModule {
  installKernels(): Promise<void>;
  /** What later runs depend on, as plain JSON, where kernels remember how often they ran; null if they are not registered. */
  kernelHistory?(): object | null;
  /** Goes on from such a history; whether kernels will compute as where it comes from. */
  restoreKernelHistory?(history: object | null): boolean;
}

/** Loads a part that only the entry for Node provides: it rejects. */
export function onlyInNode(): Promise<never> {
  return Promise.reject(new Error('only Node has it.'));
}

/** The kernels by backend. Those for tensorflow are provided only in Node: no page has them. */
export const kernelModules: ReadonlyMap<string, OnDemand<KernelModule>> = new Map<
  string,
  OnDemand<KernelModule>
>([
  ['cpu', new OnDemand(() => import('./kernels/cpu'))],
  ['wasm', new OnDemand(() => import('./kernels/wasm'))],
  ['webgpu', new OnDemand(() => import('./kernels/webgpu'))],
  ['tensorflow', new OnDemand(onlyInNode)],
]);

/** For `basis: 'svd'`. */
export const hostSvd = new OnDemand(() => import('./optim/host_svd'));

/** For the option `update`. */
export const variants = new OnDemand(() => import('./optim/variants'));

/** For `getWeights` and `setWeights` of the optimizer. */
export const savedState = new OnDemand(() => import('./optim/saved_state'));

/** For `outlierScores`. */
export const outlierCounts = new OnDemand(() => import('./scores/outlier_counts'));

/** Provides the kernels of some backends, by backend, and the other parts, which were imported elsewhere. */
export function provideParts(
  kernels: Readonly<Record<string, KernelModule>>,
  svd: NonNullable<typeof hostSvd.loaded>,
  counts: NonNullable<typeof outlierCounts.loaded>,
  saved: NonNullable<typeof savedState.loaded>,
  ofUpdates: NonNullable<typeof variants.loaded>,
): void {
  for (const [name, module] of Object.entries(kernels)) kernelModules.get(name)!.provide(module);
  hostSvd.provide(svd);
  outlierCounts.provide(counts);
  savedState.provide(saved);
  variants.provide(ofUpdates);
}
