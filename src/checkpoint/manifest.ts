/** The files of checkpoints, and the one that says which of them belong to a checkpoint. */
import {MAX_JSON_BYTES, parseJsonObject} from '../files/json';
import {listFiles} from '../files/list_files';
import {sha256} from '../files/sha256';
import type {ModelTarget} from '../files/sink';
import {openSource, readWhole} from '../files/source';
import type {LayerSamplingState} from '../layer_sampling/saved_state';

/** What the first lines of a checkpoint's JSON file say. A change that older versions cannot read gets the next number. */
export const FORMAT = 'tfjs-owlore checkpoint';
export const VERSION = 1;

/** The contents of `checkpoint-NNNNNN-HASH.json`. docs/checkpoints.md describes them. */
export interface Manifest {
  format: typeof FORMAT;
  version: typeof VERSION;
  /** Steps of the optimizer. */
  step: number;
  /** Epochs of `fit` that are complete. */
  epoch: number;
  /** The lower the better; null if nobody measured one. */
  metric: number | null;
  /** tfjs's backend. */
  backend: string;
  /** What later runs of its kernels depend on, or null. Checkpoints of earlier versions do not have it. */
  kernels?: object | null;
  /** The layers with their weights, in the order of the model. */
  model: Array<{layer: string; weights: string[]; file: string}>;
  optimizer: {
    /** Options, with the learning rate of that time. */
    settings: Record<string, unknown>;
    /** Counters of the optimizer and of each variable. */
    counters: Record<string, number | number[]>;
    /** Moments, bases and sums of gradients. */
    file: string;
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

/** A file that is missing, cut off or has other bytes than when it was written. */
export class DamagedFile extends Error {}

const HASH_DIGITS = 32;
const MANIFEST = /^checkpoint-(\d{6,15})-([0-9a-f]{32})\.json$/;
const TENSORS = /^([0-9a-f]{32})\.safetensors$/;

/** Whether a file is one of a checkpoint. */
export function isCheckpointFile(path: string): boolean {
  return MANIFEST.test(path) || TENSORS.test(path);
}

/** The JSON files of all checkpoints of a target, the newest first. */
export async function listManifests(owner: string, target: ModelTarget): Promise<ManifestFile[]> {
  const files = (await listFiles(owner, target)).flatMap((path) => {
    const match = MANIFEST.exec(path);
    return match ? [{path, number: Number(match[1])}] : [];
  });
  return files.sort((a, b) => b.number - a.number);
}

/** The files of tensors that a checkpoint needs. */
export function filesOf({model, optimizer}: Manifest): string[] {
  return [...model.map(({file}) => file), optimizer.file];
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
  const path = `checkpoint-${String(number).padStart(6, '0')}-${await hashOf(owner, bytes)}.json`;
  return {path, bytes};
}

/**
 * The contents of a checkpoint's JSON file.
 *
 * @throws DamagedFile if it is not as it was written; Error if it is of another version of the format.
 */
export async function readManifest(
  owner: string,
  target: ModelTarget,
  {path}: ManifestFile,
): Promise<Manifest> {
  const bytes = await readChecked(owner, target, path, MAX_JSON_BYTES);
  // Its bytes are those that were written: readChecked compares them with the hash in the name.
  const manifest = parseJsonObject(`${owner}: ${path}`, bytes) as unknown as Manifest;
  const {format, version} = manifest;
  if (format === FORMAT && version === VERSION) return manifest;
  throw new Error(
    `${owner}: ${path} is of the format '${format}', version ${version}; this version of tfjs-owlore reads ` +
      `'${FORMAT}', version ${VERSION}`,
  );
}

/**
 * The bytes of a file of a checkpoint.
 *
 * @throws DamagedFile if it is missing, or its bytes are not those that its name is made of.
 */
export async function readChecked(
  owner: string,
  target: ModelTarget,
  path: string,
  maxBytes = Infinity,
): Promise<Uint8Array> {
  const bytes = await readWhole(owner, openSource(owner, target), path, maxBytes);
  if (!bytes) throw new DamagedFile(`the file ${path} is missing`);
  const hash = (MANIFEST.exec(path)?.[2] ?? TENSORS.exec(path)?.[1])!;
  if ((await hashOf(owner, bytes)) === hash) return bytes;
  throw new DamagedFile(
    `the file ${path} (${bytes.length} bytes) is not as it was written: it is cut off, or bits of it have changed`,
  );
}

async function hashOf(owner: string, bytes: Uint8Array): Promise<string> {
  return (await sha256(owner, bytes)).slice(0, HASH_DIGITS);
}
