import type * as tf from '@tensorflow/tfjs-core';
import {MAX_DECODED_TOGETHER} from '../../kernels/llama/block_features';
import {OwLoreDecodeBlocks} from '../../kernels/llama/kernel_names';
import {numberedName} from '../../kernels/numbered_name';
import {runKernel} from '../../kernels/run_kernel';
import type {LlamaBlock} from '../block';
import type {RotaryTables} from '../rotary';
import type {DecodeArguments} from '../sublayers';
import type {KeyValueCache} from './key_value_cache';

/** Blocks that follow each other, with what is given for each to a kernel that computes them together. */
interface Group {
  caches: readonly KeyValueCache[];
  given: readonly DecodeArguments[];
}

/**
 * The blocks of a model for the next position of each row of their caches, several by one kernel, which appends to the caches. The
 * tensors it makes beside belong to the surrounding `tf.tidy`.
 *
 * @param x `[rows, 1, hidden]`.
 * @returns what the last block makes of it; null, before anything is computed, if the backend has no such kernel or it does not compute
 *   what all blocks do.
 */
export function decodedBlocks(
  x: tf.Tensor,
  blocks: readonly LlamaBlock[],
  caches: readonly KeyValueCache[],
  tables: RotaryTables,
): tf.Tensor | null {
  const groups = groupsOf(blocks, caches, tables);
  return groups?.reduce(decodedGroup, x) ?? null;
}

function groupsOf(
  blocks: readonly LlamaBlock[],
  caches: readonly KeyValueCache[],
  tables: RotaryTables,
): Group[] | null {
  const runs: Array<Array<[KeyValueCache, DecodeArguments]>> = [];
  for (const [i, block] of blocks.entries()) {
    const cache = caches[i]!;
    const given = block.decodeArguments(OwLoreDecodeBlocks, {cache, tables});
    if (!given) return null;
    const run = runs.at(-1);
    if (run && isAlike(given, run[0]![1]) && block.window === blocks[i - 1]!.window) {
      run.push([cache, given]);
    } else {
      runs.push([[cache, given]]);
    }
  }
  return runs.flatMap((run) =>
    inParts(run).map((part) => ({
      caches: part.map(([cache]) => cache),
      given: part.map(([, given]) => given),
    })),
  );
}

/** Whether blocks can be computed by one call. */
function isAlike(a: DecodeArguments, b: DecodeArguments): boolean {
  const isSame = a.shared['cos'] === b.shared['cos'];
  return isSame && JSON.stringify(a.attrs) === JSON.stringify(b.attrs);
}

/** As few parts as can be, of at most two sizes: each size has a graph of its own on tensorflow. */
function inParts<T>(run: readonly T[]): T[][] {
  const count = Math.ceil(run.length / MAX_DECODED_TOGETHER);
  const start = (part: number): number => Math.round((part * run.length) / count);
  return Array.from({length: count}, (_, part) => run.slice(start(part), start(part + 1)));
}

function decodedGroup(x: tf.Tensor, {caches, given}: Group): tf.Tensor {
  const {shared, attrs} = given[0]!;
  const inputs: Record<string, tf.Tensor> = {x, ...shared};
  for (const [i, {own}] of given.entries())
    for (const name in own) inputs[numberedName(name, i)] = own[name]!;
  const results = runKernel(OwLoreDecodeBlocks, inputs, {...attrs, blocks: given.length});
  const [y, ...recent] = results as [tf.Tensor, ...tf.Tensor[]];
  caches.forEach((cache, i) => {
    cache.replaceRecent({keys: recent[2 * i]!, values: recent[2 * i + 1]!});
  });
  return y;
}
