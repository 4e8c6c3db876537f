/**
 * The results of a setting: a folder with `setting.json`, which says what all cells have in common, and a file for each cell. They
 * hold figures only. A folder of another version, of other settings or other data is refused: cells are never mixed.
 */
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {UsageError} from '../../src/cli/usage_error';
import type {Provenance} from '../results/store';
import {cellName, type Cell} from './cells';
import {writeWhole} from './files';
import type {TaskScores} from './tasks';

/** What two cells must have in common to be compared; plain JSON. */
export interface Protocol {
  /** Of these files, and of what a figure in them means. */
  format: number;
  setting: string;
  /** Versions of what computes. */
  package: string;
  tfjs: string;
  backend: string;
  training: object;
  ofMethod: object;
  evaluation: object;
  /** Of the model's and the data's bytes. */
  hashes: Record<string, string>;
  /** How many examples there are. */
  examples: Record<string, number>;
}

export const FORMAT = 1;

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
  /** The hash of the protocol. */
  protocol: string;
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

const SETTING = 'setting.json';

/**
 * The results in a folder.
 *
 * @returns null if there are none.
 * @throws UsageError if a file is not of the folder's protocol, or cannot be read.
 */
export function readResults(folder: string): Results | null {
  const path = join(folder, SETTING);
  if (!existsSync(path)) return null;
  const protocol = readJson(path) as Protocol;
  if (protocol.format !== FORMAT) {
    throw new UsageError(
      `${path} has format ${protocol.format}, and this version reads ${FORMAT}; give another folder as --results, or remove this one`,
    );
  }
  const hash = hashOf(protocol);
  const cells = new Map<string, CellRecord>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.json') || file === SETTING) continue;
    const record = readJson(join(folder, file)) as CellRecord;
    if (record.protocol !== hash) {
      throw new UsageError(
        `${join(folder, file)} is of another version or other settings (${record.protocol}) than ${path} (${hash}); remove it`,
      );
    }
    if (`${cellName(record.cell)}.json` !== file) {
      throw new UsageError(
        `${join(folder, file)} holds the cell ${cellName(record.cell)}; rename it`,
      );
    }
    cells.set(cellName(record.cell), record);
  }
  return {protocol, cells};
}

/**
 * The results in a folder that cells of a protocol are to be added to; none if it is not there.
 *
 * @throws UsageError that names what differs if they are of another protocol.
 */
export function openResults(folder: string, protocol: Protocol): Results {
  const results = readResults(folder);
  if (results === null) return {protocol, cells: new Map()};
  if (hashOf(results.protocol) === hashOf(protocol)) return results;
  const others = differences(results.protocol, protocol).join('; ');
  throw new UsageError(
    `${join(folder, SETTING)} is of other settings, and cells of both are not to be mixed: ${others}; ` +
      'give another folder as --results, or remove this one',
  );
}

/** Adds a cell to results and to their folder, which is made if there is none: all of the file or nothing. */
export function writeCell(folder: string, {protocol, cells}: Results, record: CellRecord): void {
  const setting = join(folder, SETTING);
  if (!existsSync(setting)) {
    mkdirSync(folder, {recursive: true});
    writeWhole(setting, `${JSON.stringify(protocol)}\n`);
  }
  cells.set(cellName(record.cell), record);
  writeWhole(join(folder, `${cellName(record.cell)}.json`), `${JSON.stringify(record)}\n`);
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

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new UsageError(`${path} cannot be read: ${(cause as Error).message}; remove it`, {cause});
  }
}
