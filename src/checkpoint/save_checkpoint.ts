import * as tf from '@tensorflow/tfjs-core';
import {listFiles} from '../files/list_files';
import {elements, serializeHeader} from '../files/safetensors_header';
import {openSink} from '../files/open_sink';
import type {FileSink, ModelTarget} from '../files/sink';
import {kernelHistory} from '../kernels/kernel_history';
import {checkKnown, checkNumber, display, stepRange} from '../common/options';
import {lostDevice, rememberCheckpoint} from '../owlore/optimizer/step/lost_device';
import {variableOfSaved} from '../owlore/optimizer/state/saved_names';
import type {NamedTensor} from '../owlore/optimizer/state/variables';
import {tensorPieces, weightPieces} from '../model/value_pieces';
import {ownAmong, rememberOwn} from './known_checkpoints';
import {
  DamagedFile,
  filesOf,
  FORMAT,
  isAsWritten,
  isCheckpointFile,
  listManifests,
  manifestBytes,
  readManifest,
  rememberWritten,
  tensorsPath,
  VERSION,
  type Manifest,
  type ManifestFile,
} from './manifest';
import {
  checkParts,
  layerWeights,
  placeOfFile,
  type CheckpointParts,
  type LayerWeights,
  type ResumableData,
  type ResumableOptimizer,
} from './parts';
import {progressOf} from './place_in_epoch';

/** Options of {@link saveCheckpoint}. */
export interface SaveCheckpointOptions {
  /**
   * How many of the newest checkpoints stay, ≥ 1; that with the lowest `metric` stays, too, and so do those of other processes from
   * which this training has not gone on. Default: all.
   */
  keep?: number;
  /** A number that says how good the model is, the lower the better, such as a validation loss. Default none. */
  metric?: number;
  /** Epochs that are complete, ≥ 0: the `initialEpoch` of the `fit` that goes on. Default 0. */
  epoch?: number;
  /** Batches of the next epoch that are done, ≥ 0, where a `fit` goes on that was stopped in its middle. Default 0. */
  batches?: number;
  /** Anything else that the program needs to go on, as plain JSON; `resumeCheckpoint` gives it back. Default none. */
  extra?: unknown;
}

/** What {@link saveCheckpoint} has written. */
export interface SavedCheckpoint {
  /** The file that makes it a checkpoint. */
  path: string;
  /** Bytes of the files that had not been there before. */
  bytes: number;
}

const OWNER = 'saveCheckpoint';

/**
 * Numbers in a file of the optimizer's state, 64 MiB of them. While a file is made it is in memory twice: its bytes, and a copy of them,
 * whose hash is computed.
 */
const MAX_NUMBERS = 2 ** 24;

/**
 * Saves a training: `resumeCheckpoint` goes on from it, in another process too, as if it had never stopped. It has the model's
 * weights, the optimizer's state in the middle of an accumulated step too, the callback's periods and the place in the data.
 *
 * ```ts
 * await saveCheckpoint('run/checkpoints', {model, optimizer, callback, data}, {keep: 3});
 * ```
 *
 * Weights of a layer that have not changed since an earlier checkpoint are not written again. The checkpoint is there when all of
 * its files are on the disk, and not before: whenever the program or the machine is stopped, the older ones stay good.
 *
 * Call it between two batches, and wait for it before the next one. In `fit` a {@link CheckpointCallback} does that.
 *
 * @param target A folder (in Node), a `FileSystemDirectoryHandle`, or a map that takes the files.
 * @throws Error if an option or a part is wrong, if the optimizer trains what is no weight of the model, if a step is made in the
 *   meantime, if the backend's device is lost, if another process saves to the same folder, or if the files cannot be written; older
 *   checkpoints stay as they were.
 */
export async function saveCheckpoint(
  target: ModelTarget,
  parts: CheckpointParts,
  options: SaveCheckpointOptions = {},
): Promise<SavedCheckpoint> {
  checkParts(OWNER, parts);
  return writeCheckpoint(target, parts, placeOf(parts), options);
}

/** Where callback and data stand. */
type Place = Pick<Manifest, 'callback' | 'data'>;

/** Where callback and data stand now, between two batches. */
export function placeOf({callback, data}: CheckpointParts): Place {
  return {
    callback: callback ? {settings: callback.settings, state: callback.getState()} : null,
    data: data ? dataState(data) : null,
  };
}

/** The place in the data now; a copy, since the data go on. */
function dataState(data: ResumableData): unknown {
  const state = data.state();
  checkJson('data.state()', state);
  if (state === null) throw new Error(`${OWNER}: data.state() must not be null`);
  return structuredClone(state);
}

/** Saves model and optimizer as they are now, callback and data as they stood when the last batch ended. */
export async function writeCheckpoint(
  target: ModelTarget,
  {model, optimizer}: CheckpointParts,
  place: Place,
  options: SaveCheckpointOptions,
): Promise<SavedCheckpoint> {
  checkKnown(OWNER, options, ['keep', 'metric', 'epoch', 'batches', 'extra']);
  const {keep = Infinity, metric = null, epoch = 0, batches = 0, extra = null} = options;
  if (keep !== Infinity) checkNumber(OWNER, 'keep', keep, {integer: true, min: 1});
  if (metric !== null) checkNumber(OWNER, 'metric', metric);
  checkNumber(OWNER, 'epoch', epoch, stepRange);
  checkNumber(OWNER, 'batches', batches, stepRange);
  checkJson('extra', extra);
  const layers = layerWeights(OWNER, model);
  const sink = openSink(OWNER, target);
  // Whatever a step runs with is there from now on: then the steps after a checkpoint are the same before and after a stop.
  await optimizer.ready();
  await optimizer.settled();
  const start = progressOf(optimizer);
  try {
    const files = new CheckpointFiles(optimizer, target, sink);
    const weights: Manifest['model'] = [];
    for (const {layer, weights: ownWeights} of layers) {
      const names = ownWeights.map(({name}) => name);
      weights.push({layer, weights: names, file: await files.add(ownWeights, weightPieces)});
    }
    const saved = await optimizer.getWeights();
    checkOwners(saved, layers);
    const counters = saved.filter(({tensor}) => tensor.dtype === 'int32');
    const state = saved.filter(({tensor}) => tensor.dtype !== 'int32');
    const manifest: Manifest = {
      format: FORMAT,
      version: VERSION,
      step: optimizer.iterations,
      ...{epoch, batches, metric, backend: tf.getBackend(), kernels: kernelHistory()},
      model: weights,
      optimizer: {
        settings: optimizer.settings,
        counters: Object.fromEntries(await Promise.all(counters.map(numbersOf))),
        files: await files.addState(state),
      },
      ...place,
      extra,
    };
    if (progressOf(optimizer) !== start) {
      throw new Error(
        `${OWNER}: the optimizer was called while its state was saved; await saveCheckpoint before the next batch`,
      );
    }
    const written = await files.commit(manifest, keep);
    rememberCheckpoint(optimizer, placeOfFile(target, written.path));
    return written;
  } catch (error) {
    await sink.abort();
    throw lostDevice(optimizer) ?? error;
  }
}

/**
 * Makes a checkpoint of files of tensors that another program has written to a target, and that are on the disk.
 *
 * @param optimizer That of the training whose files they are.
 * @param keep As in {@link SaveCheckpointOptions}.
 * @throws Error if another process saves to the same folder, or if the files cannot be written; older checkpoints stay as they were.
 */
export async function commitCheckpoint(
  target: ModelTarget,
  optimizer: ResumableOptimizer,
  manifest: Manifest,
  keep: number,
): Promise<SavedCheckpoint> {
  const sink = openSink(OWNER, target);
  try {
    const files = new CheckpointFiles(optimizer, target, sink);
    files.takeOver(filesOf(manifest));
    return await files.commit(manifest, keep);
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Throws if a value that a program gives would not come back from JSON as it is, but for fields that are undefined, which are left out. */
function checkJson(name: string, value: unknown): void {
  let reason = '';
  try {
    if (JSON.stringify(value) !== undefined) {
      checkPlain(name, value);
      return;
    }
  } catch (error) {
    reason = `: ${(error as Error).message.split('\n')[0]}`;
  }
  throw new Error(`${OWNER}: ${name} must be plain JSON; got ${display(value)}${reason}`);
}

/** @throws Error that names the first part of a value that JSON has no form for. */
function checkPlain(name: string, value: unknown): void {
  if (value === null || ['string', 'boolean'].includes(typeof value)) return;
  if (Array.isArray(value)) {
    value.forEach((each, i) => checkPlain(`${name}[${i}]`, each));
    return;
  }
  if (typeof value === 'object') {
    const prototype = Object.getPrototypeOf(value) as unknown;
    if (prototype === Object.prototype || prototype === null) {
      for (const [key, each] of Object.entries(value))
        if (each !== undefined) checkPlain(`${name}.${key}`, each);
      return;
    }
    throw new Error(`${name} is an object of class ${value.constructor.name}`);
  }
  if (!Number.isFinite(value)) throw new Error(`${name} is ${display(value)}`);
}

/** Throws if the optimizer has a state for what is no weight of the model: its values would be missing in the checkpoint. */
function checkOwners(saved: readonly NamedTensor[], layers: readonly LayerWeights[]): void {
  const names = new Set(layers.flatMap(({variables}) => variables.map(({name}) => name)));
  for (const {name, tensor} of saved) {
    const variable = variableOfSaved(name);
    if (tensor.dtype === 'int32' || variable === null || names.has(variable)) continue;
    throw new Error(
      `${OWNER}: the optimizer trains the variable '${variable}', which is no weight of the model; use an ` +
        'optimizer for this model alone',
    );
  }
}

/** The numbers of a counter, with its name. */
async function numbersOf({name, tensor}: NamedTensor): Promise<[string, number | number[]]> {
  const values = Array.from(await tensor.data());
  return [name, tensor.rank === 0 ? values[0]! : values];
}

/** What is written of a tensor of float32. */
interface SavedTensor {
  name: string;
  shape: ReadonlyArray<number | null>;
}

/** Its values, in order. */
type PiecesOf<T> = (tensor: T) => AsyncIterable<Float32Array | Int32Array>;

/** The files of a checkpoint that is being written. */
class CheckpointFiles {
  private bytes = 0;
  /** Where a file is made, and the next one after it: what each would leave behind is given back late. */
  private memory = new Uint8Array();
  /** When each file was written. */
  private readonly written = new Map<string, number>();
  private readonly paths = new Set<string>();
  /** Of the target before; null until they are asked for. */
  private present: ReadonlySet<string> | null = null;

  constructor(
    private readonly optimizer: ResumableOptimizer,
    private readonly target: ModelTarget,
    private readonly sink: FileSink,
  ) {}

  /** Writes tensors to files, no more of them at a time than a file may have; gives the names of the files. */
  async addState(named: readonly NamedTensor[]): Promise<string[]> {
    const paths: string[] = [];
    for (const part of filesOfState(named)) {
      const tensors = part.map(({name, tensor}) => ({name, shape: tensor.shape, tensor}));
      paths.push(await this.add(tensors, ({tensor}) => tensorPieces(tensor)));
    }
    return paths;
  }

  /** Writes tensors to a file, unless there is one with the same bytes; gives its name. */
  async add<T extends SavedTensor>(tensors: readonly T[], piecesOf: PiecesOf<T>): Promise<string> {
    const bytes = await this.fileOf(tensors, piecesOf);
    const path = await tensorsPath(OWNER, bytes);
    if (!(await this.isThere(path, bytes.length))) await this.write(path, bytes);
    this.paths.add(path);
    return path;
  }

  /** The bytes of a file, which stay until the next one is made. */
  private async fileOf<T extends SavedTensor>(
    tensors: readonly T[],
    piecesOf: PiecesOf<T>,
  ): Promise<Uint8Array> {
    const entries = tensors.map(({name, shape}) => ({name, dtype: 'F32' as const, shape: shape as number[]})); // prettier-ignore
    const header = serializeHeader(entries);
    const size = entries.reduce((sum, {shape}) => sum + 4 * elements(shape), header.length);
    // some more, so that others with a little longer header fit into it
    if (this.memory.length < size) this.memory = new Uint8Array(size + 2 ** 20);
    this.memory.set(header);
    let at = header.length;
    for (const tensor of tensors) {
      for await (const {buffer, byteOffset, byteLength} of piecesOf(tensor)) {
        this.memory.set(new Uint8Array(buffer, byteOffset, byteLength), at);
        at += byteLength;
      }
    }
    return this.memory.subarray(0, size);
  }

  /** Counts files among those of the checkpoint that are there already. */
  takeOver(paths: readonly string[]): void {
    for (const path of paths) this.paths.add(path);
  }

  /**
   * Writes the file that makes the others a checkpoint, and removes those that no checkpoint needs any more. What comes later, and
   * checkpoints that are not the training's own, are not removed.
   */
  async commit(manifest: Manifest, keep: number): Promise<SavedCheckpoint> {
    // before their checkpoints, so that none of them has files here and is not listed
    const present = new Set(await listFiles(OWNER, this.target));
    const listed = await listManifests(OWNER, this.target, true);
    const own = await ownAmong(OWNER, this.optimizer, this.target, listed);
    const number = (listed[0]?.number ?? 0) + 1;
    const {path, bytes} = await manifestBytes(OWNER, number, manifest);
    await this.write(path, bytes);
    let isObsolete = (_file: string): boolean => false;
    if (keep !== Infinity) {
      const needed = new Set([path, ...this.paths]);
      for (const older of await olderToKeep(this.target, listed, own, manifest, keep - 1)) {
        needed.add(older.path);
        for (const file of filesOf(older.manifest)) needed.add(file);
      }
      isObsolete = (file) => isCheckpointFile(file) && present.has(file) && !needed.has(file);
    }
    // before, since it may be there also where not all else could be done
    rememberOwn(path);
    await this.sink.commit(isObsolete);
    await rememberWritten(OWNER, this.target, this.written);
    return {path, bytes: this.bytes};
  }

  /** Whether an older checkpoint has a file of this name that is not damaged. */
  private async isThere(path: string, size: number): Promise<boolean> {
    this.present ??= new Set(await listFiles(OWNER, this.target));
    return this.present.has(path) && isAsWritten(OWNER, this.target, path, size);
  }

  private async write(path: string, bytes: Uint8Array): Promise<void> {
    const file = await this.sink.create(path, bytes.length);
    try {
      await file.write(bytes);
    } finally {
      await file.close();
    }
    this.bytes += bytes.length;
    this.written.set(path, performance.now());
  }
}

/** The optimizer's state in its order, as files have it: at most {@link MAX_NUMBERS} each, or one tensor. */
export function filesOfState(named: readonly NamedTensor[]): NamedTensor[][] {
  const parts: NamedTensor[][] = [];
  let numbers = Infinity;
  for (const each of named) {
    numbers += each.tensor.size;
    if (numbers > MAX_NUMBERS) {
      parts.push([]);
      numbers = each.tensor.size;
    }
    parts.at(-1)!.push(each);
  }
  return parts;
}

/**
 * Of the checkpoints listed those that are not a training's own, the newest `count` of its own, and that of them with the lowest metric
 * unless `latest` has a lower one.
 */
async function olderToKeep(
  target: ModelTarget,
  listed: readonly ManifestFile[],
  own: ReadonlySet<string>,
  latest: Manifest,
  count: number,
): Promise<Array<{path: string; manifest: Manifest}>> {
  const others: Array<{path: string; manifest: Manifest}> = [];
  const ours: typeof others = [];
  for (const file of listed) {
    try {
      const manifest = await readManifest(OWNER, target, file);
      (own.has(file.path) ? ours : others).push({path: file.path, manifest});
    } catch (error) {
      // a damaged one is of no use
      if (!(error instanceof DamagedFile)) throw error;
    }
  }
  const metricOf = (manifest: Manifest): number => manifest.metric ?? Infinity;
  const lowest = Math.min(metricOf(latest), ...ours.map(({manifest}) => metricOf(manifest)));
  const best =
    metricOf(latest) > lowest && ours.find(({manifest}) => metricOf(manifest) === lowest);
  return [...new Set([...others, ...ours.slice(0, count), ...(best ? [best] : [])])];
}
