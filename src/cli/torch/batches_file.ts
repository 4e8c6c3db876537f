/** Batches as a file of token ids, for a program that has no tokenizer. */
import {closeSync, openSync, readSync, writeSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import type {TextBatch} from '../../llama/index';
import {nextTurn} from '../../common/next_turn';

/** What is in a file: of each batch its ids and then its labels, int32 in little-endian order. */
export interface BatchesFile {
  /** Tokens in a row, the same in all batches. */
  columns: number;
  /** Rows of each batch. */
  rows: number[];
}

/**
 * Writes batches to a file, and disposes of them.
 *
 * @param onBatch Called after each, with their number; what it returns ends the file, if that is false.
 */
export async function writeBatches(
  path: string,
  batches: AsyncIterable<TextBatch>,
  onBatch: (count: number) => boolean,
): Promise<BatchesFile> {
  const file = openSync(path, 'wx');
  const rows: number[] = [];
  let columns = 0;
  try {
    for await (const {xs, ys} of batches) {
      try {
        for (const tensor of [xs, ys]) {
          const numbers = await tensor.data<'int32'>();
          writeAll(file, new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
        }
        rows.push(xs.shape[0]);
        columns = xs.shape[1];
      } finally {
        tf.dispose([xs, ys]);
      }
      await nextTurn();
      if (!onBatch(rows.length)) break;
    }
  } finally {
    closeSync(file);
  }
  return {columns, rows};
}

function writeAll(file: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(file, bytes, done);
}

/** JSON values in a file, in the order in which they are added; there may be too many of them for memory. */
export class JsonLines {
  private readonly file: number;
  private readonly ends: number[] = [0];

  /** The caller closes it. */
  constructor(path: string) {
    this.file = openSync(path, 'wx+');
  }

  add(value: unknown): void {
    const bytes = Buffer.from(JSON.stringify(value));
    writeAll(this.file, bytes);
    this.ends.push(this.ends.at(-1)! + bytes.length);
  }

  /** The value that was added at this place, from 0. */
  at(index: number): unknown {
    const [from, to] = [this.ends[index]!, this.ends[index + 1]!];
    const bytes = Buffer.alloc(to - from);
    readSync(this.file, bytes, 0, bytes.length, from);
    return JSON.parse(bytes.toString('utf8'));
  }

  close(): void {
    closeSync(this.file);
  }
}
