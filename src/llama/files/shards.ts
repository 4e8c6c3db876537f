import {BYTES, type FloatType} from '../../files/float_type';
import {elements} from '../../files/safetensors_header';
import {INDEX_FILE, SINGLE_FILE} from './checkpoint';

interface Weight {
  name: string;
  shape: readonly number[];
}

/** A file of a checkpoint. */
export interface Shard<W extends Weight> {
  path: string;
  /** In the order of their names, as Hugging Face's library writes tensors of one type. */
  weights: W[];
}

/**
 * Divides weights into files as Hugging Face does: in their order; a new file begins where the next weight
 * would make the file larger than `maxBytes`, and a weight that is larger alone gets its own file.
 */
export function intoShards<W extends Weight>(
  weights: readonly W[],
  dtype: FloatType,
  maxBytes: number,
): Array<Shard<W>> {
  const shards: W[][] = [];
  let open: W[] = [];
  let size = 0;
  for (const weight of weights) {
    const bytes = elements(weight.shape) * BYTES[dtype];
    if (bytes > maxBytes) {
      shards.push([weight]);
      continue;
    }
    if (size + bytes > maxBytes) {
      shards.push(open);
      open = [];
      size = 0;
    }
    open.push(weight);
    size += bytes;
  }
  if (open.length > 0) shards.push(open);
  return shards.map((shard, i) => ({
    path: shardPath(i, shards.length),
    weights: [...shard].sort((a, b) => (a.name < b.name ? -1 : 1)),
  }));
}

/** The contents of `model.safetensors.index.json` for shards; null for a single file, which has no index. */
export function indexOf(shards: ReadonlyArray<Shard<Weight>>, dtype: FloatType): object | null {
  if (shards.length === 1) return null;
  const files = shards.flatMap(({path, weights}) => weights.map(({name}) => [name, path] as const));
  const parameters = shards
    .flatMap(({weights}) => weights)
    .reduce((sum, {shape}) => sum + elements(shape), 0);
  return {
    metadata: {total_parameters: parameters, total_size: parameters * BYTES[dtype]},
    weight_map: Object.fromEntries(files.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Whether a file holds or lists weights, so that a save must remove it if it does not replace it. */
export function isWeightFile(path: string): boolean {
  return path === INDEX_FILE || /^model(-\d{5}-of-\d{5})?\.safetensors$/.test(path);
}

function shardPath(index: number, count: number): string {
  const digits = (n: number): string => String(n).padStart(5, '0');
  return count === 1 ? SINGLE_FILE : `model-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}
