/** What a memory has room for, and by which options a training that does not fit into it would. */
import type {JsonObject} from '../files/json';
import type {ResolvedConfig} from '../llama/config';
import {embeddingModes} from './estimate/embedding_mode';
import {estimateMemory} from './estimate/index';
import {maxRank} from './estimate/max_rank';
import {maxBatchSize} from './estimate/options';
import {hasRank, type EstimatedSettings, type SizedOptions} from './estimated_settings';

/** Options that are changed, by their names. */
export type Change = Partial<
  Pick<
    EstimatedSettings,
    | 'gradientCheckpointing'
    | 'embedding'
    | 'frozenDtype'
    | 'method'
    | 'rank'
    | 'maxLength'
    | 'gamma'
    | 'batchSize'
  >
>;

/** The largest of each that fits. */
export type Largest = Pick<Change, 'gamma' | 'rank' | 'batchSize'>;

/** A change with which a training fits. */
export interface Proposal {
  change: Change;
  /** Bytes of its tensors then. */
  tensors: number;
}

/** Largest batch that is asked about, if an estimate can be made of it. */
const MAX_SEQUENCES = 4096;

/** Ranks that are asked about, beside the given one. */
const RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

/** Parts of their length that examples are cut to. */
const SHORTER = [1 / 2, 1 / 4];

/** A training, and how it is estimated. */
export interface EstimatedTraining<Settings extends EstimatedSettings = EstimatedSettings> {
  /** The object in `config.json`, and what it was read as. */
  config: JsonObject;
  described: ResolvedConfig;
  settings: Settings;
  /** The rank that LoRA would have. */
  loraRank: number;
  /** The options of an estimate of it, and of it with changed settings. */
  optionsOf(settings: Settings): SizedOptions;
  /** Names of options that have no effect, as the command has it. */
  meaningless(settings: Settings): Record<string, string>;
  /** Whether there is room for so many bytes of tensors. */
  fits(tensors: number): boolean;
  /** Waited for before each estimate; if it throws, so does the search. */
  nextTurn(): Promise<unknown>;
}

export class MemoryFit<Settings extends EstimatedSettings> {
  private readonly given: SizedOptions;
  /** The most bytes of tensors that fit. */
  private readonly limit: number;
  /** Estimates, by what they change. */
  private readonly known = new Map<string, number>();

  constructor(private readonly training: EstimatedTraining<Settings>) {
    this.given = training.optionsOf(training.settings);
    this.limit = maxBytes((tensors) => training.fits(tensors));
  }

  async fitsAsGiven(): Promise<boolean> {
    return this.fits({});
  }

  /** The largest of each that fits while the others are as given; one that has no effect is left out. */
  async largest(): Promise<Largest> {
    const {gamma, rank, batchSize} = this.given;
    const {numHiddenLayers} = this.training.described;
    // a rank that projects nothing has no larger one
    const ranks = rank <= this.maxRank({}) ? this.ranks({}) : [];
    const lists = [
      gamma === undefined ? [] : integers(numHiddenLayers).map((gamma) => ({gamma})),
      ranks.map((rank) => ({rank})),
      this.batches(MAX_SEQUENCES).map((batchSize) => ({batchSize})),
    ];
    const largest: Largest = {};
    for (const list of lists) {
      const descending = [...list].reverse();
      const asGiven = descending.findIndex((change) => isIn(change, {gamma, rank, batchSize}));
      Object.assign(largest, await this.first(descending, asGiven < 0 ? undefined : asGiven));
    }
    return largest;
  }

  /**
   * Changes with which it fits if it does not as given: the fewest together, in the order of {@link kinds}, and then each that is enough
   * alone. Another method is proposed alone, or if nothing else fits. Empty if nothing does.
   */
  async proposals(): Promise<Proposal[]> {
    const changes: Change[] = [];
    for (const kind of this.kinds) {
      const change = await this.first(kind({}));
      if (change) changes.push(change);
    }
    const together = await this.together({});
    if (together && !changes.some((change) => isIn(change, together))) changes.unshift(together);
    if (changes.length === 0) {
      for (const method of this.asLora({})) {
        const change = await this.together(method);
        if (change) changes.push(change);
      }
    }
    return Promise.all(changes.map((change) => this.proposal(change)));
  }

  /** Kind after kind as strong as it can be, until the last one makes it fit as mild as it can be. */
  private async together(method: Change): Promise<Change | undefined> {
    let others = method;
    for (const kind of this.kinds) {
      const changes = kind(others).filter((change) => change.method === method.method);
      const change = await this.first(changes);
      if (change) return change;
      others = changes.at(-1) ?? others;
    }
    return undefined;
  }

  /** What it takes at the least, with all changes together. */
  async smallest(): Promise<Proposal> {
    const all = (method: Change): Change =>
      this.kinds.reduce((others, kind) => kind(others).at(-1) ?? others, method);
    const each = await Promise.all(
      [{}, ...this.asLora({})].map((method) => this.proposal(all(method))),
    );
    return each.reduce((a, b) => (b.tensors < a.tensors ? b : a));
  }

  /** What may be changed beside others, the mildest first: what costs least of what is learnt is the first kind, and the first of its kind. */
  private readonly kinds: ReadonlyArray<(others: Change) => Change[]> = [
    (others) => {
      const isOff = this.training.settings.gradientCheckpointing === 'none';
      return this.added(others, isOff ? [{gradientCheckpointing: 'auto'}] : []);
    },
    (others) => {
      const {embedding} = this.training.settings;
      const further = embeddingModes.slice(embeddingModes.indexOf(embedding) + 1);
      const modes = this.added(
        others,
        further.map((mode) => ({embedding: mode})),
      );
      return modes.filter(
        (change) => change.embedding === 'frozen' || this.hasPossibleRank(change),
      );
    },
    (others) => this.added(others, [{frozenDtype: 'BF16'}]),
    (others) => (Object.keys(others).length === 0 ? this.asLora(others) : []),
    (others) => {
      const lengths = SHORTER.map((part) => Math.floor(part * this.given.maxLength));
      return this.added(
        others,
        lengths.filter((length) => length > 0).map((maxLength) => ({maxLength})),
      );
    },
    (others) => {
      const below = integers(Math.ceil(this.given.gamma ?? 0) - 1).reverse();
      return this.added(
        others,
        below.map((gamma) => ({gamma})),
      );
    },
    (others) => {
      const {rank} = this.optionsOf(others);
      const below = this.ranks(others).filter((other) => other < rank);
      return this.added(
        others,
        below.reverse().map((rank) => ({rank})),
      );
    },
    (others) => {
      const below = this.batches(this.given.batchSize - 1).reverse();
      return this.added(
        others,
        below.map((batchSize) => ({batchSize})),
      );
    },
  ];

  /** Others with one more each, without those that change nothing or have no effect. */
  private added(others: Change, changes: readonly Change[]): Change[] {
    const {settings, meaningless} = this.training;
    const none = meaningless({...settings, ...others});
    return changes
      .filter((change) =>
        Object.entries(change).every(
          ([name, value]) => !(name in none) && settings[name as keyof Settings] !== value,
        ),
      )
      .map((change) => ({...others, ...change}));
  }

  /** LoRA in the place of another method. */
  private asLora(others: Change): Change[] {
    if (this.given.method === 'lora') return [];
    const change = {...others, method: 'lora', rank: this.training.loraRank} as const;
    return this.hasPossibleRank(change) ? [change] : [];
  }

  private hasPossibleRank(change: Change): boolean {
    return this.optionsOf(change).rank <= this.maxRank(change);
  }

  private optionsOf(change: Change): SizedOptions {
    return this.training.optionsOf({...this.training.settings, ...change});
  }

  /** The largest rank that training takes; 0 where the rank changes nothing. */
  private maxRank(change: Change): number {
    const {settings, config} = this.training;
    return hasRank({...settings, ...change}) ? maxRank(config, this.optionsOf(change)) : 0;
  }

  /** Ranks that are asked about, ascending. */
  private ranks(change: Change): number[] {
    const max = this.maxRank(change);
    return [...new Set([...RANKS, this.optionsOf(change).rank])]
      .filter((rank) => rank <= max)
      .sort((a, b) => a - b);
  }

  /** Batches of up to so many sequences that are asked about. */
  private batches(max: number): number[] {
    return integers(Math.min(max, MAX_SEQUENCES, maxBatchSize(this.given.maxLength)));
  }

  private async proposal(change: Change): Promise<Proposal> {
    return {change, tensors: await this.bytesOf(change)};
  }

  private async fits(change: Change): Promise<boolean> {
    return (await this.bytesOf(change)) <= this.limit;
  }

  /** An estimate, which takes a while, is made once. */
  private async bytesOf(change: Change): Promise<number> {
    const key = JSON.stringify(change);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    await this.training.nextTurn();
    const {total} = estimateMemory(this.training.config, this.optionsOf(change));
    this.known.set(key, total);
    return total;
  }

  /**
   * The first of some changes that fits; undefined if none does. Each takes less than the one before. As memory nearly falls in proportion,
   * the next one that is tried is where a line through two others meets the limit.
   *
   * @param start Where to begin; default at the end, since if that does not fit nothing does.
   */
  private async first(
    changes: readonly Change[],
    start = changes.length - 1,
  ): Promise<Change | undefined> {
    // none before `from` fits, and all from `to` on
    let [from, to] = [0, changes.length];
    const tried: Point[] = [];
    let at = start;
    while (from < to) {
      const bytes = await this.bytesOf(changes[at]!);
      if (bytes <= this.limit) to = at;
      else from = at + 1;
      tried.unshift({at, bytes});
      const wanted = tried.length % 4 === 0 ? NaN : onLine(tried, this.limit);
      const next = Number.isNaN(wanted) ? (from + to) >> 1 : Math.ceil(wanted);
      at = Math.min(Math.max(next, from), to - 1);
    }
    return changes[from];
  }
}

interface Point {
  at: number;
  bytes: number;
}

/** Where the line through the first two points has the height `bytes`; NaN if there are none, or it does not descend. */
function onLine([first, second]: readonly Point[], bytes: number): number {
  const slope = second ? (first!.bytes - second.bytes) / (first!.at - second.at) : NaN;
  return slope < 0 ? first!.at + (bytes - first!.bytes) / slope : NaN;
}

/** Whether all members of the first are those of the second. */
function isIn(part: object, whole: object): boolean {
  return Object.entries(part).every(([name, value]) => whole[name as keyof typeof whole] === value);
}

/** The most bytes of tensors that fit. */
function maxBytes(fits: (tensors: number) => boolean): number {
  let [from, to] = [0, 2 ** 52];
  while (from < to) {
    const middle = Math.ceil((from + to) / 2);
    if (fits(middle)) from = middle;
    else to = middle - 1;
  }
  return from;
}

function integers(max: number): number[] {
  return Array.from({length: Math.max(0, max)}, (_, i) => i + 1);
}
