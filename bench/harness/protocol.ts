/** The messages between a benchmark and the trainings that it compares: a line of JSON each. */

/** To a training: do a step, or report the memory used so far. A training ends when its standard input does. */
export type Request = 'step' | 'memory';

/** From a training. */
export type Reply =
  | {kind: 'ready'; parameters: number; versions: Record<string, string>}
  /** Instead of `ready`: it cannot be run here, and what it would take. */
  | {kind: 'absent'; needs: string}
  | {kind: 'step'; loss: number; milliseconds: number}
  /** Bytes: the most that a wasm memory has come to, and that tensors have. */
  | {kind: 'memory'; wasm?: number; tensors?: number};
