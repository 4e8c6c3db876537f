/** How much memory a training may take here, and how much a process takes for the tensors that an estimate is about. */
import {totalmem} from 'node:os';
import type {EstimatedBackend} from './estimate/options';
import type {LlamaOutline, LoadLlamaOptions} from '../llama/index';

/** Memory, and what messages call it. */
export interface MemoryLimit {
  bytes: number;
  what: string;
}

/** The largest heap of wasm, whose addresses have 32 bits. */
const WASM_HEAP = 2 ** 32;

/** Bytes of a process with tfjs-node that has no tensor, as measured. */
const IDLE_TENSORFLOW = 430e6;

/** Bytes of a process without tensors on any other backend, as measured. */
const IDLE = 150e6;

/** What a process was measured to have beyond an idle one and its tensors: results inside of kernels, and memory that is not given back. */
const BEYOND_TENSORS = 320e6;

/** Gaps between tensors in wasm's heap, as a part of the tensors' bytes. */
const GAPS = 0.08;

/** The largest error of an estimate, as a part of it. */
const ERROR = 0.1;

/** The memory of this machine or, in a container, of that; null for a device whose memory cannot be asked for. */
export function memoryLimit(backend: EstimatedBackend): MemoryLimit | null {
  if (backend === 'webgpu') return null;
  if (backend === 'wasm') return {bytes: WASM_HEAP, what: "wasm's largest heap"};
  const all = totalmem();
  // 0, or more than there is, without such a limit
  const constrained = process.constrainedMemory() || Infinity;
  return constrained < all
    ? {bytes: constrained, what: "the limit of this process's memory"}
    : {bytes: all, what: "this machine's memory"};
}

/** The memory that tensors of so many bytes take: of a process, on wasm of the heap. */
export function memoryFor(backend: EstimatedBackend, tensors: number): number {
  if (backend === 'wasm') return tensors * (1 + GAPS);
  if (backend === 'webgpu') return tensors;
  return (
    tensors +
    (backend === 'tensorflow' ? IDLE_TENSORFLOW : IDLE) +
    Math.min(tensors, BEYOND_TENSORS)
  );
}

/** The least that they may take, if the estimate is too high by as much as it can be. */
export function leastMemoryFor(backend: EstimatedBackend, tensors: number): number {
  const least = tensors / (1 + ERROR);
  return backend === 'wasm' ? least : least + (backend === 'tensorflow' ? IDLE_TENSORFLOW : IDLE);
}

/** The bytes of a model's weights as `loadLlama` keeps them. */
export function weightBytes(
  {numbers, bfloat16}: LlamaOutline,
  frozenDtype: LoadLlamaOptions['frozenDtype'],
): number {
  const halves = frozenDtype === 'BF16' ? numbers : frozenDtype === 'auto' ? bfloat16 : 0;
  return 4 * numbers - 2 * halves;
}

/** `1.25 GB`, `316 MB`, `12 kB` or `1 byte`. */
export function bytesText(bytes: number): string {
  // a unit from what would be rounded to 1000 of the one below
  if (bytes >= 999.5e6) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 999_500) return `${(bytes / 1e6).toFixed(0)} MB`;
  if (bytes >= 999.5) return `${(bytes / 1e3).toFixed(0)} kB`;
  const whole = Math.round(bytes);
  return `${whole} byte${whole === 1 ? '' : 's'}`;
}
