import {OnDemand, onlyInNode} from '../common/on_demand';
import {shareMemory} from './wasm/shared_memory';

/** The kernels of a backend. */
export interface KernelModule {
  installKernels(): Promise<void>;
  /** What later runs depend on, as plain JSON, where kernels remember how often they ran; null if they are not registered. */
  kernelHistory?(): object | null;
  /** Goes on from such a history; whether kernels will compute as where it comes from. */
  restoreKernelHistory?(history: object | null): boolean;
}

/** The kernels by backend. Those for tensorflow are provided only in Node: no page has them. */
export const kernelModules: ReadonlyMap<string, OnDemand<KernelModule>> = new Map<
  string,
  OnDemand<KernelModule>
>([
  ['cpu', new OnDemand(() => import('./cpu'))],
  ['wasm', new OnDemand(() => import('./wasm'))],
  ['webgpu', new OnDemand(() => import('./webgpu'))],
  ['tensorflow', new OnDemand(onlyInNode)],
]);

// here, because every program that trains imports this before it has a backend
shareMemory();
