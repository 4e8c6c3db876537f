/** The files of checkpoints, and the one that says which of them belong to a checkpoint. */
import {isObject, MAX_JSON_BYTES, parseJsonObject, show, type JsonObject} from '../files/json';
import {listFiles} from '../files/list_files';
import {sha256} from '../files/sha256';
import type {ModelTarget} from '../files/sink';
import {openSource} from '../files/open_source';
import type {SourceFile} from '../files/source';
import {checkSamplingState, type LayerSamplingState} from '../owlore/sampling/saved_state';
import {checkNumber, display, MAX_STEPS, stepRange} from '../common/options';
import {checkCounters, STEPS, type Counters} from '../owlore/optimizer/state/saved_names';
import {checkLearningRate} from '../owlore/optimizer/schedule';

/** What the first lines of a checkpoint's JSON file say. A change that older versions cannot read gets the next number. */
export const FORMAT = 'tfjs-owlore checkpoint';
export const VERSION = 3;

/** The contents of `checkpoint-NNNNNN-HASH.json`. README.md describes them. */
export interface Manifest {
  format: typeof FORMAT;
  version: typeof VERSION;
  /** Steps of the optimizer. */
  step: number;
  /** Epochs of `fit` that are complete. */
  epoch: number;
  /** Batches of the next epoch that are done. */
  batches: number;
  /** The lower the better; null if nobody measured one. */
  metric: number | null;
  /** tfjs's backend. */
  backend: string;
  /** What later runs of its kernels depend on, or null. */
  kernels: object | null;
  /** The layers with their weights, in the order of the model. */
  model: Array<{layer: string; weights: string[]; file: string}>;
  optimizer: {
    /** Options, with the learning rate of that time. */
    settings: Record<string, unknown>;
    /** Counters of the optimizer and of each variable. */
    counters: Counters;
    /** Moments, bases and sums of gradients: files of a size that may be in memory at once. */
    files: string[];
  };
  callback: {settings: Record<string, unknown>; state: LayerSamplingState} | null;
  /** What `data.state()` said. */
  data: unknown;
  /** What the caller added. */
  extra: unknown;
}

/** A checkpoint's JSON file. */
export interface ManifestFile {
  /** `checkpoint-NNNNNN-HASH.json` */
  path: string;
  /** 1, 2, … in the order of saving. */
  number: number;
}

/** A file that is missing, cut off or has other bytes than when it was written, or more than it can have. */
export class DamagedFile extends Error {}

const HASH_DIGITS = 32;
const MANIFEST = /^checkpoint-(\d{6,15})-([0-9a-f]{32})\.json$/;
const TENSORS = /^([0-9a-f]{32})\.safetensors$/;

/** Whether a file is one of a checkpoint. */
export function isCheckpointFile(path: string): boolean {
  return MANIFEST.test(path) || TENSORS.test(path);
}

/**
 * The JSON files of all checkpoints of a target, the newest first.
 *
 * @param isToSave Whether one is to be saved after them: then the limit is twice as high, so that what goes on from any can be saved.
 * @throws Error if the target cannot be read, or if a number is higher than any program's.
 */
export async function listManifests(
  owner: string,
  target: ModelTarget,
  isToSave = false,
): Promise<ManifestFile[]> {
  const max = isToSave ? 2 * MAX_STEPS : MAX_STEPS;
  const files = (await listFiles(owner, target)).flatMap((path) => {
    const match = MANIFEST.exec(path);
    return match ? [{path, number: Number(match[1])}] : [];
  });
  files.sort((a, b) => b.number - a.number);
  const [newest] = files;
  if (newest && newest.number > max) {
    throw new Error(
      `${owner}: the checkpoint ${newest.path} has a number above ${max}, after which no other could be saved; ` +
        'no training has written it: remove it',
    );
  }
  return files;
}

/** The files of tensors that a checkpoint needs. */
export function filesOf({model, optimizer}: Manifest): string[] {
  return [...model.map(({file}) => file), ...optimizer.files];
}

/** The name of a file of tensors, which says what is in it. */
export async function tensorsPath(owner: string, bytes: Uint8Array): Promise<string> {
  return `${await hashOf(owner, bytes)}.safetensors`;
}

/** The bytes and the name of a checkpoint's JSON file. */
export async function manifestBytes(
  owner: string,
  number: number,
  manifest: Manifest,
): Promise<{path: string; bytes: Uint8Array}> {
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const what = `${owner}: the checkpoint's JSON, with extra and data.state(),`;
  if (bytes.length > MAX_JSON_BYTES)
    throw new Error(
      `${what} has ${bytes.length} bytes, more than the ${MAX_JSON_BYTES} that are read`,
    );
  parseJsonObject(what, bytes); // throws where it is beyond other limits
  const path = `checkpoint-${String(number).padStart(6, '0')}-${await hashOf(owner, bytes)}.json`;
  return {path, bytes};
}

/**
 * The contents of a checkpoint's JSON file.
 *
 * @throws DamagedFile if it is not as it was written; Error if it is of another version of the format, or if a field is not of its
 *   form: whoever wrote it may have made the checksum fit.
 */
export async function readManifest(
  owner: string,
  target: ModelTarget,
  {path}: ManifestFile,
): Promise<Manifest> {
  const what = `${owner}: ${path}`;
  const manifest = parseJsonObject(what, await readChecked(owner, target, path, MAX_JSON_BYTES));
  const {format, version} = manifest;
  if (format === FORMAT && version === VERSION) return checkedManifest(what, manifest);
  throw new Error(
    `${what} is of the format ${display(format)}, version ${display(version)}; this version of tfjs-owlore reads ` +
      `'${FORMAT}', version ${VERSION}`,
  );
}

/** More damaged checkpoints than any training leaves behind. */
const MAX_DAMAGED = 16;

/**
 * What reading a checkpoint gives, or null if it is damaged.
 *
 * @param damages What the caller has found damaged so far; this damage is added to it.
 * @throws Error at the 16th, since each may take a second to read and thousands of them minutes.
 */
export async function ifGood<T>(
  owner: string,
  path: string,
  damages: string[],
  read: () => Promise<T>,
): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof DamagedFile)) throw error;
    damages.push(`${path} is damaged: ${error.message}`);
    if (damages.length < MAX_DAMAGED) return null;
    throw new Error(
      `${owner}: ${damages.length} checkpoints are damaged, and no others were looked at; nothing was changed. Remove them, ` +
        `and it goes on from an older one. The newest: ${damages[0]}`,
      {cause: error},
    );
  }
}

/** Files that this process has written or found to be as they were written: their names and versions. */
const known = new Set<string>();
const MAX_KNOWN = 100_000;

/** Whether a file has not been written to since this process last saw that it is right. */
function isKnown({path, version}: SourceFile): boolean {
  return known.has(`${path} ${version}`);
}

/** Not where a source cannot tell versions. */
function remember({path, version}: SourceFile): void {
  if (version === undefined) return;
  if (known.size === MAX_KNOWN) known.clear();
  known.add(`${path} ${version}`);
}

/** Times of files may be no finer than this, in milliseconds. */
const FINEST_TIME = 50;

/**
 * Remembers that files which this process has written are right, so that they are not read again. Files written in the last 50 ms are
 * left out: a change so soon after might not change their time.
 *
 * @param written When each was, by `performance.now()`.
 */
export async function rememberWritten(
  owner: string,
  target: ModelTarget,
  written: ReadonlyMap<string, number>,
): Promise<void> {
  const source = openSource(owner, target);
  for (const [path, time] of written) {
    if (performance.now() - time < FINEST_TIME) continue;
    const file = await source.open(path);
    await file?.close();
    if (file) remember(file);
  }
}

/** Whether there is a file of a checkpoint, and as it was written. It is read if this process does not know that yet. */
export async function isAsWritten(
  owner: string,
  target: ModelTarget,
  path: string,
  size: number,
): Promise<boolean> {
  const file = await openSource(owner, target).open(path);
  await file?.close();
  if (!file || isKnown(file)) return file !== null;
  try {
    await readChecked(owner, target, path, size);
    return true;
  } catch (error) {
    if (error instanceof DamagedFile) return false;
    throw error;
  }
}

/**
 * The bytes of a file of a checkpoint.
 *
 * @param maxBytes As many as it can have.
 * @throws DamagedFile if it is missing, or larger, or its bytes are not those that its name is made of.
 */
export async function readChecked(
  owner: string,
  target: ModelTarget,
  path: string,
  maxBytes: number,
): Promise<Uint8Array> {
  const file = await openSource(owner, target).open(path);
  if (!file) throw new DamagedFile(`the file ${path} is missing`);
  let bytes: Uint8Array;
  try {
    if (file.size > maxBytes) {
      throw new DamagedFile(
        `the file ${path} has ${file.size} bytes, where no more than ${maxBytes} can be in it`,
      );
    }
    bytes = await file.read(0, file.size);
  } finally {
    await file.close();
  }
  const hash = MANIFEST.exec(path)?.[2] ?? TENSORS.exec(path)![1]!;
  if (!isKnown(file) && (await hashOf(owner, bytes)) !== hash) {
    throw new DamagedFile(
      `the file ${path} (${bytes.length} bytes) is not as it was written: it is cut off, or bits of it have changed`,
    );
  }
  remember(file);
  return bytes;
}

/** The most bytes of a file with so many numbers. */
export function maxBytesOf(numbers: number): number {
  return 4 * numbers + MAX_JSON_BYTES;
}

async function hashOf(owner: string, bytes: Uint8Array): Promise<string> {
  return (await sha256(owner, bytes)).slice(0, HASH_DIGITS);
}

/**
 * A manifest each of whose fields has been looked at. `data` and `extra` may be anything.
 *
 * @param owner What messages start with: caller and file.
 */
export function checkedManifest(owner: string, json: JsonObject): Manifest {
  const {step, epoch, batches, metric, backend, kernels, model, optimizer, callback, data, extra} =
    json;
  checkNumber(owner, 'step', step, stepRange);
  checkNumber(owner, 'epoch', epoch, stepRange);
  checkNumber(owner, 'batches', batches, stepRange);
  if (metric !== null) checkNumber(owner, 'metric', metric);
  check(owner, 'backend', backend, typeof backend === 'string', 'the name of a backend');
  check(owner, 'kernels', kernels, kernels === null || isObject(kernels), 'an object, or null');
  checkModel(owner, model);
  checkOptimizer(owner, optimizer, step);
  if (callback !== null) checkCallback(owner, callback);
  return {
    ...{format: FORMAT, version: VERSION, step, epoch, batches, metric},
    ...{
      backend: backend as string,
      kernels: kernels as object | null,
      model,
      optimizer,
      callback,
      data: data ?? null,
      extra: extra ?? null,
    },
  };
}

/** @param owner What messages start with. */
export function checkModel(owner: string, model: unknown): asserts model is Manifest['model'] {
  check(owner, 'model', model, Array.isArray(model), 'a list of layers');
  const names = new Set<string>();
  for (const [i, entry] of (model as unknown[]).entries()) {
    const field = `model[${i}]`;
    check(owner, field, entry, isObject(entry), 'an object {layer, weights, file}');
    const {layer, weights, file} = entry as JsonObject;
    check(owner, `${field}.layer`, layer, typeof layer === 'string', 'the name of a layer');
    const areNames = Array.isArray(weights) && weights.every((name) => typeof name === 'string');
    check(owner, `${field}.weights`, weights, areNames, 'a list of names');
    checkTensorsPath(owner, `${field}.file`, file);
    for (const name of weights as string[]) {
      check(owner, `${field}.weights`, name, !names.has(name), 'names that stand nowhere else');
      names.add(name);
    }
  }
}

function checkOptimizer(
  owner: string,
  optimizer: unknown,
  step: number,
): asserts optimizer is Manifest['optimizer'] {
  check(
    owner,
    'optimizer',
    optimizer,
    isObject(optimizer),
    'an object {settings, counters, files}',
  );
  const {settings, counters, files} = optimizer as JsonObject;
  check(owner, 'optimizer.files', files, Array.isArray(files), 'a list of files');
  for (const [i, file] of (files as unknown[]).entries())
    checkTensorsPath(owner, `optimizer.files[${i}]`, file);
  check(owner, 'optimizer.settings', settings, isObject(settings), 'an object of options');
  const {learningRate} = settings as JsonObject;
  if (learningRate !== FUNCTION) checkLearningRate(`${owner}: optimizer.settings`, learningRate);
  checkCounters(`${owner}: optimizer.counters`, counters);
  const steps = counters[STEPS];
  check(owner, `optimizer.counters.${STEPS}`, steps, steps === step, `the step, ${step}`);
}

/** What stands in settings for an option that is a function. */
export const FUNCTION = display(() => 0);

function checkCallback(
  owner: string,
  callback: unknown,
): asserts callback is NonNullable<Manifest['callback']> {
  check(owner, 'callback', callback, isObject(callback), 'null, or an object {settings, state}');
  const {settings, state} = callback as JsonObject;
  check(owner, 'callback.settings', settings, isObject(settings), 'an object of options');
  checkSamplingState(`${owner}: callback.state`, state);
}

function checkTensorsPath(owner: string, field: string, path: unknown): void {
  const isRight = typeof path === 'string' && TENSORS.test(path);
  check(owner, field, path, isRight, "the name of a file, '<32 digits>.safetensors'");
}

function check(owner: string, field: string, value: unknown, isRight: boolean, what: string): void {
  if (!isRight) throw new Error(`${owner}: ${field} must be ${what}; got ${show(value)}`);
}
