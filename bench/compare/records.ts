/**
 * The results of a setting: a file of lines of JSON, the first of which says what all cells have in common, the others hold the figures of
 * a cell each. A file of another version, of other settings or other data is refused: cells are never mixed.
 */
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {UsageError} from '../../src/cli/usage_error';
import type {Provenance} from '../results/store';
import {cellName, type Cell} from './cells';
import {writeWhole} from './files';
import type {TaskScores} from './tasks';

/** What two cells must have in common to be compared; plain JSON. */
export interface Protocol {
  /** Of this file, and of what a figure in it means. */
  format: number;
  setting: string;
  /** Versions of what computes. */
  package: string;
  tfjs: string;
  backend: string;
  training: object;
  methodOptions: object;
  evaluation: object;
  /** Of the model's and the data's bytes. */
  hashes: Record<string, string>;
  /** How many examples there are. */
  examples: Record<string, number>;
}

export const FORMAT = 2;

/** A step of a run. */
export interface Steps {
  loss: number[];
  learningRate: number[];
  seconds: number[];
  peakBytes: number[];
  /** The numbers of the blocks that were on. */
  on: number[][];
}

export interface Measured {
  /** Of the examples that the cell's name says, each token counted alike. */
  heldOut: {loss: number; tokens: number};
  neutral: {loss: number; tokens: number};
  /** Of the cells that were asked questions. */
  tasks?: TaskScores;
  /** The rest is of a training. */
  training?: {
    steps: Steps;
    /** On a few examples of the validation data. */
    curve: {step: number; loss: number}[];
    /** The most tensors at once in a step. */
    peakBytes: number;
    /** The most that the optimizer holds between two steps. */
    stateBytes: number;
    weightBytes: number;
    /** The most memory of the process, with loading, evaluation and saving. */
    residentBytes: number;
    /** How many processes the training has taken; more than one if it was stopped. */
    processes: number;
    /** Of all weights: the part that is not as it was, and the norm of the change over that of the weights. */
    changed: {share: number; norm: number};
    /** What drew the blocks, one number a block; null where nothing did. */
    scores: number[] | null;
  };
}

export interface CellRecord extends Provenance {
  cell: Cell;
  /** The message of a training that came to no end because its numbers were not finite. */
  failed?: string;
  measured: Measured | null;
}

/** The results of a setting. */
export interface Results {
  protocol: Protocol;
  cells: Map<string, CellRecord>;
}

export function hashOf(protocol: Protocol): string {
  return createHash('sha256').update(JSON.stringify(protocol)).digest('hex').slice(0, 16);
}

/** The file of a setting's results in a folder. */
export function fileOf(folder: string, setting: string): string {
  return join(folder, `${setting}.jsonl`);
}

/**
 * The results in a file.
 *
 * @returns null if it is not there.
 * @throws UsageError if it cannot be read, is of another format, or has a cell twice.
 */
export function readResults(file: string): Results | null {
  if (!existsSync(file)) return null;
  const [protocol, ...records] = linesOf(file) as [Protocol, ...CellRecord[]];
  if (protocol.format !== FORMAT) {
    throw new UsageError(
      `${file} has format ${protocol.format}, and this version reads ${FORMAT}; give another folder as --results, or remove this file`,
    );
  }
  const cells = new Map<string, CellRecord>();
  for (const record of records) {
    const name = cellName(record.cell);
    if (cells.has(name)) throw new UsageError(`${file} has the cell ${name} twice; remove one`);
    cells.set(name, record);
  }
  return {protocol, cells};
}

/**
 * The results in a file that cells of a protocol are to be added to; none if it is not there.
 *
 * @throws UsageError that names what differs if they are of another protocol.
 */
export function openResults(file: string, protocol: Protocol): Results {
  const results = readResults(file);
  if (results === null) return {protocol, cells: new Map()};
  if (hashOf(results.protocol) === hashOf(protocol)) return results;
  const others = differences(results.protocol, protocol).join('; ');
  throw new UsageError(
    `${file} is of other settings, and cells of both are not to be mixed: ${others}; ` +
      'give another folder as --results, or remove this file',
  );
}

/** Adds a cell to results and to their file, whose folder is made if there is none: all of the file or nothing. */
export function writeCell(file: string, {protocol, cells}: Results, record: CellRecord): void {
  cells.set(cellName(record.cell), record);
  // by their names, so that a new cell is one new line
  const records = [...cells].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, of]) => of);
  mkdirSync(dirname(file), {recursive: true});
  writeWhole(file, [protocol, ...records].map((line) => `${JSON.stringify(line)}\n`).join(''));
}

/** `training.steps is 48 there and 60 here`, for each value that differs. */
function differences(there: unknown, here: unknown, path = ''): string[] {
  if (JSON.stringify(there) === JSON.stringify(here)) return [];
  if (isRecord(there) && isRecord(here)) {
    const names = [...new Set([...Object.keys(there), ...Object.keys(here)])];
    const inside = names.flatMap((name) =>
      differences(there[name], here[name], path ? `${path}.${name}` : name),
    );
    return inside.length > 0 ? inside : [`the order of ${path || 'all'} differs`];
  }
  return [`${path} is ${JSON.stringify(there)} there and ${JSON.stringify(here)} here`];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function linesOf(file: string): unknown[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line, i) => {
    try {
      return JSON.parse(line) as unknown;
    } catch (cause) {
      throw new UsageError(
        `${file} cannot be read: line ${i + 1}: ${(cause as Error).message}; remove that line, or the file`,
        {cause},
      );
    }
  });
}
