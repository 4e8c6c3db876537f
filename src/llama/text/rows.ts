import {IGNORED, type EncodedExample} from './encode_example';

/** One row of a batch: as many tokens, each with the one that comes next as its label. */
export interface Row {
  ids: Int32Array;
  /** `IGNORED` where nothing is to be learned. */
  labels: Int32Array;
  /** How many of the tokens are not padding. */
  tokens: number;
}

/** Tokens with their labels that have not filled a row yet, as plain JSON. */
export interface Rest {
  ids: number[];
  labels: number[];
}

type Tokens = Pick<EncodedExample, 'ids' | 'isLearned'>;

/** The label of each token: the next one if that is learned. The last one has none. */
function labelsOf({ids, isLearned}: Tokens): number[] {
  return ids.map((_, i) => (isLearned[i + 1] ? ids[i + 1]! : IGNORED));
}

/** A row of `length` positions that begins with these tokens. */
function filledRow(length: number, padId: number, {ids, labels}: Rest): Row {
  const row = {
    ids: new Int32Array(length).fill(padId),
    labels: new Int32Array(length).fill(IGNORED),
    tokens: ids.length,
  };
  row.ids.set(ids);
  row.labels.set(labels);
  return row;
}

const hasLabels = (labels: readonly number[]): boolean => labels.some((label) => label !== IGNORED);

/**
 * An example in a row of its own, padded with `padId`. An example of `length + 1` tokens fits, because its
 * last token is only a label; a longer one is cut off.
 *
 * @returns null if nothing is left to learn.
 */
export function paddedRow(example: Tokens, length: number, padId: number): Row | null {
  const end = Math.min(length, example.ids.length - 1);
  const labels = labelsOf(example).slice(0, end);
  if (!hasLabels(labels)) return null;
  return filledRow(length, padId, {ids: example.ids.slice(0, end), labels});
}

/**
 * Examples one after the other, cut into rows wherever a row is full. Only the last row is padded. A row in which nothing is to be
 * learned is left out; nothing else is lost. Tokens see all earlier tokens of their row, also those of other examples, but not
 * the part of their example in the row before. Most trainers do the same.
 */
export class Packer {
  private ids: number[];
  private labels: number[];
  /** How many of them are in rows already. */
  private taken = 0;

  constructor(
    private readonly length: number,
    rest: Rest = {ids: [], labels: []},
  ) {
    this.ids = [...rest.ids];
    this.labels = [...rest.labels];
  }

  /** The tokens that wait for their row. */
  get rest(): Rest {
    return {ids: this.ids.slice(this.taken), labels: this.labels.slice(this.taken)};
  }

  add(example: Tokens): void {
    const {ids, labels} = this.rest;
    this.ids = ids.concat(example.ids);
    this.labels = labels.concat(labelsOf(example));
    this.taken = 0;
  }

  /** The next row that is full and has something to learn, null if there is none. */
  take(): Row | null {
    while (this.taken + this.length <= this.ids.length) {
      const from = this.taken;
      this.taken += this.length;
      const labels = this.labels.slice(from, this.taken);
      if (!hasLabels(labels)) continue;
      return {
        ids: Int32Array.from(this.ids.slice(from, this.taken)),
        labels: Int32Array.from(labels),
        tokens: this.length,
      };
    }
    return null;
  }

  /** The last row, padded; null if nothing is left to learn. */
  end(padId: number): Row | null {
    const {rest} = this;
    this.taken = this.ids.length;
    return hasLabels(rest.labels) ? filledRow(this.length, padId, rest) : null;
  }
}
