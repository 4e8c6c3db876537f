/** Which γ, rank and batch a memory has room for. */
import {setImmediate} from 'node:timers/promises';
import {estimateMemory, type EstimateOptions} from '../memory/estimate/index';
import {maxRank} from '../memory/estimate/max_rank';
import {maxBatchSize} from '../memory/estimate/options';
import type {LlamaConfig} from '../llama/config';
import {paperMethods, type MethodParts} from '../methods';
import type {SizedOptions} from './estimate_options';

/** The options that are looked for. */
export type Fit = Pick<EstimateOptions, 'gamma' | 'rank' | 'batchSize'>;

/** Largest batch that is asked about, if an estimate can be made of it. */
const MAX_SEQUENCES = 4096;

/** Ranks that are asked about, beside the given one. */
const RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

/** Whether a training takes no more than there is room for, by the bytes of its tensors. */
export type Fits = (tensors: number) => boolean;

export class MemoryFit {
  private readonly hasGamma: boolean;
  private readonly ranks: readonly number[];
  /** The most bytes of tensors that fit. */
  private readonly limit: number;
  /** Estimates, by what they change. */
  private readonly known = new Map<string, number>();

  /** @param hasRank Whether the rank changes what is taken. */
  constructor(
    private readonly config: object,
    private readonly given: SizedOptions,
    private readonly sizes: Pick<LlamaConfig, 'numHiddenLayers'>,
    hasRank: boolean,
    fits: Fits,
  ) {
    this.limit = maxBytes(fits);
    const max = hasRank ? maxRank(config, given) : 0;
    this.ranks = [...new Set([...RANKS, given.rank])]
      .filter((rank) => rank <= max)
      .sort((a, b) => a - b);
    const {sampling}: MethodParts = paperMethods[given.method ?? 'owlore'];
    this.hasGamma = sampling !== null;
  }

  async fitsAsGiven(): Promise<boolean> {
    return (await this.bytesOf({})) <= this.limit;
  }

  /** The largest of each that fits while the others are as given; one for which nothing fits is left out. */
  async largest(): Promise<Fit> {
    const gamma = this.hasGamma
      ? await this.max('gamma', integers(this.sizes.numHiddenLayers))
      : undefined;
    const rank = await this.max('rank', this.ranks);
    const batchSize = await this.max('batchSize', this.batches(MAX_SEQUENCES));
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
  async nearest(): Promise<Fit | null> {
    const {gamma, rank, batchSize} = this.given;
    const sequences = await this.max('batchSize', this.batches(batchSize));
    if (sequences !== undefined) return {batchSize: sequences};
    if (this.hasGamma) {
      const blocks = await this.max('gamma', integers(Math.ceil(gamma!)), {batchSize: 1});
      if (blocks !== undefined) return {batchSize: 1, gamma: blocks};
    }
    const least = {batchSize: 1, ...(this.hasGamma && {gamma: 1})};
    const smaller = await this.max(
      'rank',
      this.ranks.filter((other) => other < rank),
      least,
    );
    return smaller === undefined ? null : {...least, rank: smaller};
  }

  /** Batches of up to so many sequences that are asked about. */
  private batches(max: number): number[] {
    return integers(Math.min(max, MAX_SEQUENCES, maxBatchSize(this.given.maxLength)));
  }

  /** An estimate, which takes a while, is made once; signals are looked at before. */
  private async bytesOf(changed: Fit): Promise<number> {
    const key = JSON.stringify(changed);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    await setImmediate();
    const {total} = estimateMemory(this.config, {...this.given, ...changed});
    this.known.set(key, total);
    return total;
  }

  /**
   * The largest of `values` that fits; undefined if none does. They must ascend, and memory must grow with them. As it grows nearly in
   * proportion, the next value that is tried is the one that a line through two others has for the limit.
   */
  private async max(
    name: keyof Fit,
    values: readonly number[],
    others: Fit = {},
  ): Promise<number | undefined> {
    // all before `from` fit, and none from `to` on
    let [from, to] = [0, values.length];
    const tried: Array<{value: number; bytes: number}> = [];
    let at = Math.max(0, lastUpTo(values, this.given[name]!));
    while (from < to) {
      const value = values[at]!;
      const bytes = await this.bytesOf({...others, [name]: value});
      if (bytes <= this.limit) from = at + 1;
      else to = at;
      tried.unshift({value, bytes});
      const wanted = tried.length % 4 === 0 ? NaN : onLine(tried, this.limit);
      const middle = from === 0 ? 0 : (from + to) >> 1;
      at = Number.isNaN(wanted)
        ? middle
        : Math.min(Math.max(lastUpTo(values, wanted), from), to - 1);
    }
    return values[from - 1];
  }
}

/** The place of the last of some ascending numbers that is at most `most`; −1 if none is. */
function lastUpTo(values: readonly number[], max: number): number {
  return values.filter((value) => value <= max).length - 1;
}

/** Where the line through the first two points has the height `bytes`; NaN if there are none, or it does not ascend. */
function onLine(
  [first, second]: ReadonlyArray<{value: number; bytes: number}>,
  bytes: number,
): number {
  const slope = second ? (first!.bytes - second.bytes) / (first!.value - second.value) : NaN;
  return slope > 0 ? first!.value + (bytes - first!.bytes) / slope : NaN;
}

/** The most bytes of tensors that fit. */
function maxBytes(fits: Fits): number {
  let [from, to] = [0, 2 ** 52];
  while (from < to) {
    const middle = Math.ceil((from + to) / 2);
    if (fits(middle)) from = middle;
    else to = middle - 1;
  }
  return from;
}

function integers(max: number): number[] {
  return Array.from({length: max}, (_, i) => i + 1);
}

/** `--gamma 3 --batch-size 2`. */
export function flagsOf({gamma, rank, batchSize}: Fit): string {
  const all = {'--gamma': gamma, '--rank': rank, '--batch-size': batchSize};
  return Object.entries(all)
    .flatMap(([flag, value]) => (value === undefined ? [] : [`${flag} ${value}`]))
    .join(' ');
}
