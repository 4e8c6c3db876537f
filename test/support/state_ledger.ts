import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {OwLoreOptions} from '../../src/index';

/** What tensors take. */
export interface Occupied {
  tensors: number;
  bytes: number;
}

export const nothing: Occupied = {tensors: 0, bytes: 0};

/** What the backend holds. */
export function occupied(): Occupied {
  const {numTensors, numBytes} = tf.memory();
  return {tensors: numTensors, bytes: numBytes};
}

/** What the backend holds beyond `start`. */
export function since(start: Occupied): Occupied {
  return minus(occupied(), start);
}

export function minus(a: Occupied, b: Occupied): Occupied {
  return {tensors: a.tensors - b.tensors, bytes: a.bytes - b.bytes};
}

type StateOptions = Required<
  Pick<OwLoreOptions, 'project' | 'rank' | 'side' | 'state' | 'accumulate'>
>;

/**
 * Books what the state of an `OwLoreOptimizer` must take, by the formula in its docs: of the weights that were trained in the
 * last step, or that ever were if state is kept, and the sums of a step that is being accumulated.
 */
export class StateLedger {
  private calls = 0;
  private stateful = new Set<tfl.LayerVariable>();
  private summed = new Set<tfl.LayerVariable>();

  /** @param blocks The weights of each block by its name; the others are always on, and not projected. */
  constructor(
    private readonly weights: readonly tfl.LayerVariable[],
    private readonly blocks: ReadonlyMap<tfl.LayerVariable, string>,
    private readonly options: StateOptions,
  ) {}

  /** Books a call of the optimizer with these blocks on. */
  addCall(active: readonly string[]): void {
    const {accumulate, state} = this.options;
    const trained = this.weights.filter((weight) => {
      const block = this.blocks.get(weight);
      return block === undefined || active.includes(block);
    });
    const completes = ++this.calls % accumulate === 0;
    this.summed = new Set(completes ? [] : trained);
    if (completes)
      this.stateful = new Set(state === 'keep' ? [...this.stateful, ...trained] : trained);
  }

  /** What is to be there after the calls so far. */
  get total(): Occupied {
    const total = {...nothing};
    const add = ({tensors, bytes}: Occupied): void => {
      total.tensors += tensors;
      total.bytes += bytes;
    };
    for (const weight of this.stateful) add(this.stateOf(weight));
    for (const {shape} of this.summed) add({tensors: 1, bytes: 4 * sizeOf(shape)});
    return total;
  }

  /**
   * Two moments of the variable's own shape. For a projected [m, n] matrix a basis and two moments, r·(m + 2n) numbers on the
   * left side and r·(n + 2m) on the right, where that is less.
   */
  private stateOf(weight: tfl.LayerVariable): Occupied {
    const {project, rank, side} = this.options;
    const size = sizeOf(weight.shape);
    const plain = {tensors: 2, bytes: 4 * 2 * size};
    if (project === false || !this.blocks.has(weight) || weight.shape.length < 2) return plain;
    const n = weight.shape.at(-1)!;
    const m = size / n;
    const r = Math.min(rank, m, n);
    const left = r * (m + 2 * n);
    const right = r * (n + 2 * m);
    const numbers = {left, right, auto: Math.min(left, right), paper: m <= n ? left : right}[side];
    return numbers < 2 * size ? {tensors: 3, bytes: 4 * numbers} : plain;
  }
}

function sizeOf(shape: tfl.Shape): number {
  return tf.util.sizeFromShape(shape as number[]);
}
