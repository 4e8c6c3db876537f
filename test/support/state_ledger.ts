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
  Pick<
    OwLoreOptions,
    'project' | 'rank' | 'side' | 'state' | 'accumulate' | 'refreshInterval' | 'clipNorm'
  >
>;

/** Numbers that are kept of a projected weight: its basis, and what is of the shape of R. */
interface Projection {
  basis: number;
  projected: number;
}

/**
 * Books what the state of an `OwLoreOptimizer` must take, by the formula in its docs: of the weights that were trained in the
 * last step, or that ever were if state is kept, and the sums of a step that is being accumulated.
 */
export class StateLedger {
  private calls = 0;
  /** The steps of each weight since its state was made. */
  private steps = new Map<tfl.LayerVariable, number>();
  private summed = new Set<tfl.LayerVariable>();

  /** @param blocks The weights of each block by its name; the others are always on, and not projected. */
  constructor(
    private readonly weights: readonly tfl.LayerVariable[],
    private readonly blocks: ReadonlyMap<tfl.LayerVariable, string>,
    private readonly options: StateOptions,
  ) {}

  /** Books a call of the optimizer with these blocks on. */
  addCall(active: readonly string[]): void {
    const trained = this.weights.filter((weight) => {
      const block = this.blocks.get(weight);
      return block === undefined || active.includes(block);
    });
    const completes = ++this.calls % this.options.accumulate === 0;
    this.summed = new Set(completes ? [] : trained);
    if (completes) this.addStep(trained);
  }

  /** What is to be there after the calls so far. */
  get total(): Occupied {
    const total = {...nothing};
    const add = (tensors: number, numbers: number): void => {
      total.tensors += tensors;
      total.bytes += 4 * numbers;
    };
    for (const weight of this.steps.keys()) {
      const projection = this.projectionOf(weight);
      if (projection) add(3, projection.basis + 2 * projection.projected);
      else add(2, 2 * sizeOf(weight.shape));
    }
    for (const weight of this.summed) add(1, this.sumOf(weight));
    if (this.summed.size > 0) add(1, 1); // the losses
    return total;
  }

  private addStep(trained: readonly tfl.LayerVariable[]): void {
    const steps = trained.map((weight) => [weight, (this.steps.get(weight) ?? 0) + 1] as const);
    this.steps = new Map([...(this.options.state === 'keep' ? this.steps : []), ...steps]);
  }

  /** A sum is projected, unless the step makes a new basis of it or clips by its norm. */
  private sumOf(weight: tfl.LayerVariable): number {
    const {clipNorm, refreshInterval} = this.options;
    const isDue = (this.steps.get(weight) ?? 0) % refreshInterval === 0;
    const projection = clipNorm === null && !isDue ? this.projectionOf(weight) : null;
    return projection ? projection.projected : sizeOf(weight.shape);
  }

  /**
   * For a projected [m, n] matrix a basis and two moments take r·(m + 2n) numbers on the left side and r·(n + 2m) on the
   * right. Null where a dimension is not above r, or that is not less than the two moments of the weight's own shape.
   */
  private projectionOf(weight: tfl.LayerVariable): Projection | null {
    const {project, rank, side} = this.options;
    if (project === false || !this.blocks.has(weight) || weight.shape.length < 2) return null;
    const size = sizeOf(weight.shape);
    const n = weight.shape.at(-1)!;
    const m = size / n;
    if (Math.min(m, n) <= rank) return null;
    const left = {basis: rank * m, projected: rank * n};
    const right = {basis: rank * n, projected: rank * m};
    const projection = {left, right, auto: m < n ? right : left, paper: m <= n ? left : right}[
      side
    ];
    return projection.basis + 2 * projection.projected < 2 * size ? projection : null;
  }
}

function sizeOf(shape: tfl.Shape): number {
  return tf.util.sizeFromShape(shape as number[]);
}
