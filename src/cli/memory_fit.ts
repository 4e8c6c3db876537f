/** Which γ, rank and batch a memory has room for. */
import {estimateMemory, type EstimateOptions} from '../estimate/index';
import {mostRank} from '../estimate/most_rank';
import type {LlamaConfig} from '../llama/config';
import {paperMethods, type MethodParts} from '../methods';
import type {SizedOptions} from './estimate_options';

/** The options that are looked for. */
export type Fit = Pick<EstimateOptions, 'gamma' | 'rank' | 'batchSize'>;

/** Largest batch that is asked about. */
const MOST_SEQUENCES = 4096;

/** Ranks that are asked about, beside the given one. */
const RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

/** Whether a training takes no more than there is room for, by the bytes of its tensors. */
export type Fits = (tensors: number) => boolean;

export class MemoryFit {
  private readonly hasGamma: boolean;
  private readonly ranks: readonly number[];

  /** @param hasRank Whether the rank changes what is taken. */
  constructor(
    private readonly config: object,
    private readonly given: SizedOptions,
    private readonly sizes: Pick<LlamaConfig, 'numHiddenLayers'>,
    hasRank: boolean,
    private readonly fits: Fits,
  ) {
    const most = hasRank ? mostRank(config, given) : 0;
    this.ranks = [...new Set([...RANKS, given.rank])]
      .filter((rank) => rank <= most)
      .sort((a, b) => a - b);
    const {sampling}: MethodParts = paperMethods[given.method ?? 'owlore'];
    this.hasGamma = sampling !== null;
  }

  get fitsAsGiven(): boolean {
    return this.isFitting({});
  }

  /** The largest of each that fits while the others are as given; one for which nothing fits is left out. */
  largest(): Fit {
    const gamma = this.hasGamma
      ? this.most('gamma', integers(this.sizes.numHiddenLayers))
      : undefined;
    const rank = this.most('rank', this.ranks);
    const batchSize = this.most('batchSize', integers(MOST_SEQUENCES));
    return {
      ...(gamma !== undefined && {gamma}),
      ...(rank !== undefined && {rank}),
      ...(batchSize !== undefined && {batchSize}),
    };
  }

  /**
   * The nearest that fits if what was given does not, changing first the batch, then γ as well, then the rank as well; null if
   * nothing does.
   */
  nearest(): Fit | null {
    const {gamma, rank, batchSize} = this.given;
    const sequences = this.most('batchSize', integers(batchSize));
    if (sequences !== undefined) return {batchSize: sequences};
    if (this.hasGamma) {
      const blocks = this.most('gamma', integers(Math.ceil(gamma!)), {batchSize: 1});
      if (blocks !== undefined) return {batchSize: 1, gamma: blocks};
    }
    const least = {batchSize: 1, ...(this.hasGamma && {gamma: 1})};
    const smaller = this.most(
      'rank',
      this.ranks.filter((other) => other < rank),
      least,
    );
    return smaller === undefined ? null : {...least, rank: smaller};
  }

  private isFitting(changed: Fit): boolean {
    return this.fits(estimateMemory(this.config, {...this.given, ...changed}).total);
  }

  /** The largest of `values` that fits; undefined if none does. They must ascend, and memory must grow with them. */
  private most(name: keyof Fit, values: readonly number[], others: Fit = {}): number | undefined {
    let [from, to] = [0, values.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.isFitting({...others, [name]: values[middle]!})) from = middle + 1;
      else to = middle;
    }
    return values[from - 1];
  }
}

function integers(most: number): number[] {
  return Array.from({length: most}, (_, i) => i + 1);
}

/** `--gamma 3 --batch-size 2`. */
export function flagsOf({gamma, rank, batchSize}: Fit): string {
  const all = {'--gamma': gamma, '--rank': rank, '--batch-size': batchSize};
  return Object.entries(all)
    .flatMap(([flag, value]) => (value === undefined ? [] : [`${flag} ${value}`]))
    .join(' ');
}
