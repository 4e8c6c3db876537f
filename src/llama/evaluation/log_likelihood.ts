import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {checkArgument, checkKnown, checkNumber} from '../../common/options';
import type {ModelLimits} from '../generation/generate_options';
import {modelLimits, rowsAtOnce} from './model_limits';
import {logitsAt} from './model_output';

/** A text and what may follow it, as token ids. */
export interface Continuation {
  /** At least one token. */
  context: readonly number[];
  /** At least one token. */
  continuation: readonly number[];
}

/** How probable a continuation is. */
export interface LogLikelihood {
  /** ln of its probability, given the context: a sum over its tokens. */
  logLikelihood: number;
  /** Whether each of its tokens is the most probable one at its position. */
  isGreedy: boolean;
}

/** Options of `logLikelihoods`. */
export interface LogLikelihoodOptions {
  /** The most rows that go through the model together; default 8. Fewer do where the logits would be large. */
  batchSize?: number;
}

const OWNER = 'logLikelihoods';
export const DEFAULT_BATCH_SIZE = 8;

/** A row that goes through the model: all tokens of a request except the last. */
interface Row {
  ids: readonly number[];
  /** The requests that it answers, each at its last `targets.length` positions. */
  asked: Array<{index: number; targets: readonly number[]}>;
}

/**
 * The probability of each continuation after its context, by one forward pass over both. Rows of similar
 * length go together, padded on the right; requests that differ only in their last token share a row. If a
 * row is longer than the model's positions, its start is left out.
 *
 * @returns one entry for each request, in the same order.
 * @throws if a context or a continuation is empty or has a token outside the vocabulary, if a
 *   continuation alone is longer than the model's positions, or if the model's logits are not finite.
 */
export async function logLikelihoods(
  model: tfl.LayersModel,
  requests: readonly Continuation[],
  options: LogLikelihoodOptions = {},
): Promise<LogLikelihood[]> {
  checkKnown(OWNER, options, ['batchSize']);
  const {batchSize = DEFAULT_BATCH_SIZE} = options;
  checkNumber(OWNER, 'batchSize', batchSize, {integer: true, min: 1});
  return logLikelihoodsOf(model, requests, batchSize, (index) => `${OWNER}: requests[${index}]`);
}

/** {@link logLikelihoods} for a caller that gives its requests names, with which errors about logits begin. */
export async function logLikelihoodsOf(
  model: tfl.LayersModel,
  requests: readonly Continuation[],
  batchSize: number,
  nameOf: (index: number) => string,
): Promise<LogLikelihood[]> {
  const limits = modelLimits(OWNER, model);
  const areRequests = Array.isArray(requests);
  checkArgument(OWNER, 'requests', requests, 'a list of {context, continuation}', areRequests);
  const rows = rowsOf(requests, limits);

  const results = new Array<LogLikelihood>(requests.length);
  let from = 0;
  while (from < rows.length) {
    const length = rows[from]!.ids.length;
    const count = Math.min(batchSize, rowsAtOnce(length, limits.vocabSize));
    const batch = rows.slice(from, from + count);
    for (const [index, result] of await batchLikelihoods(model, batch, length)) {
      if (Number.isNaN(result.logLikelihood)) {
        throw new Error(`${nameOf(index)}: the model's logits are not finite; are its weights?`);
      }
      results[index] = result;
    }
    from += batch.length;
  }
  return results;
}

/** The longest first. */
function rowsOf(requests: readonly Continuation[], limits: ModelLimits): Row[] {
  const rows = new Map<string, Row>();
  requests.forEach((request, index) => {
    const ids = checkedIds(request, index, limits);
    const key = ids.join();
    const row = rows.get(key) ?? {ids, asked: []};
    row.asked.push({index, targets: request.continuation});
    rows.set(key, row);
  });
  return [...rows.values()].sort((a, b) => b.ids.length - a.ids.length);
}

function checkedIds(
  request: Continuation,
  index: number,
  {vocabSize, maxPositionEmbeddings}: ModelLimits,
): number[] {
  const fail = (what: string): Error => new Error(`${OWNER}: requests[${index}]: ${what}`);
  const {context, continuation} = request ?? {};
  for (const [name, ids] of Object.entries({context, continuation})) {
    const isList = Array.isArray(ids) || ids instanceof Int32Array;
    checkArgument(`${OWNER}: requests[${index}]`, name, ids, 'a list of token ids', isList);
  }
  if (context.length === 0 || continuation.length === 0) {
    throw fail('context and continuation must have at least one token each');
  }
  const all = [...context, ...continuation];
  const outside = all.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (outside !== undefined) {
    throw fail(`token ${outside} is outside the model's vocabulary of ${vocabSize}`);
  }
  if (continuation.length > maxPositionEmbeddings) {
    throw fail(
      `the continuation has ${continuation.length} tokens, more than the model's ` +
        `maxPositionEmbeddings (${maxPositionEmbeddings})`,
    );
  }
  return all.slice(0, -1).slice(-maxPositionEmbeddings);
}

async function batchLikelihoods(
  model: tfl.LayersModel,
  rows: readonly Row[],
  length: number,
): Promise<Array<[index: number, LogLikelihood]>> {
  const ids = new Int32Array(rows.length * length);
  const positions: number[] = [];
  rows.forEach((row, i) => {
    ids.set(row.ids, i * length);
    for (const {targets} of row.asked) {
      const first = i * length + row.ids.length - targets.length;
      targets.forEach((_, j) => positions.push(first + j));
    }
  });
  const asked = rows.flatMap((row) => row.asked);
  const targets = asked.flatMap((request) => request.targets);

  const {logProbabilities, largest} = tf.tidy(() => {
    const input = tf.tensor2d(ids, [rows.length, length], 'int32');
    const atTargets = logitsAt(model, input, positions);
    const vocab = atTargets.shape[1];
    const picks = targets.map((id, i) => i * vocab + id);
    const picked = tf.gather(tf.reshape(atTargets, [-1]), tf.tensor1d(picks, 'int32'));
    return {
      logProbabilities: tf.sub(picked, tf.logSumExp(atTargets, 1)),
      largest: tf.argMax(atTargets, 1),
    };
  });
  const [values, best] = await Promise.all([logProbabilities.data(), largest.data()]);
  tf.dispose([logProbabilities, largest]);

  let at = 0;
  return asked.map(({index, targets}) => {
    const result = {logLikelihood: 0, isGreedy: true};
    for (const id of targets) {
      result.logLikelihood += values[at]!;
      result.isGreedy &&= best[at] === id;
      at++;
    }
    return [index, result];
  });
}
