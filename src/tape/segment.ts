import * as tf from '@tensorflow/tfjs-core';
import {createRandom} from '../sampling/rng';
import {backpropagate} from './backward';
import type {InputGradients} from './engine';
import {record} from './gradients';
import {Recording} from './recording';

/**
 * What a segment of the forward pass read from outside of itself, and what must be as it was then for the same function to
 * give the same result again.
 */
export interface SegmentRun {
  /** What the segment returned. */
  results: tf.Tensor[];
  /** Which of `results` are outputs of the segment's ops and depend on a leaf, each once. */
  made: number[];
  /** Tensors and variables that were made before the segment and read in it. */
  outside: tf.Tensor[];
  /** Variables that the segment assigned to, with the values before, held (BatchNorm's moving averages). */
  assigned: Map<tf.Variable, tf.Tensor>;
  seed: number;
}

/** Runs a segment for the first time, without recording what is in it. */
export function runSegment(recording: Recording, body: () => tf.Tensor[]): SegmentRun {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const assigned = new Map<tf.Variable, tf.Tensor>();
  const {result, outside, dependent} = recording.observe(() =>
    withAssignments(
      (variable) => {
        if (!assigned.has(variable)) assigned.set(variable, recording.holds.hold(variable));
      },
      () => withRandom(seed, body),
    ),
  );
  // What is passed on from outside has its gradient by itself.
  const made = result.flatMap(({id}, i) =>
    dependent.has(id) && result.findIndex((first) => first.id === id) === i ? [i] : [],
  );
  return {results: result, made, outside, assigned, seed};
}

/**
 * The gradients of a segment's inputs: runs the segment again, now recorded, with the same random numbers, and goes back.
 * The data of `outside` must be held.
 */
export function segmentGradients(
  body: () => tf.Tensor[],
  {made, outside, assigned, seed}: SegmentRun,
  inputs: readonly tf.Tensor[],
  dys: ReadonlyArray<tf.Tensor | null>,
): InputGradients {
  const gradients: InputGradients = {};
  const recording = new Recording(inputs);
  const later = new Map([...assigned].map(([variable]) => [variable, tf.clone(variable)]));
  try {
    for (const [variable, before] of assigned) variable.assign(before);
    const results = revived(outside, () => withRandom(seed, () => record(recording, body)));
    const ys = made.map((index) => results[index]!);
    // A custom gradient may return what it was given.
    tf.dispose(ys.filter((y) => !outside.includes(y)));
    const seeds = ys.flatMap((y, i) => (dys[i] ? [{y, dy: dys[i]}] : []));
    backpropagate(recording, inputs, seeds, (index, gradient) => {
      gradients[String(inputs[index]!.id)] = () => gradient;
    });
  } finally {
    recording.holds.dispose();
    for (const [variable, value] of later) variable.assign(value);
    tf.dispose([...later.values()]);
  }
  for (const {id} of inputs) gradients[String(id)] ??= () => null;
  return gradients;
}

/** Runs `body` with tensors that a tidy has disposed of, but whose data is held, as if they were alive. */
function revived<T>(tensors: readonly tf.Tensor[], body: () => T): T {
  // tfjs-core declares the flag protected.
  const disposed = tensors.filter((tensor) => tensor.isDisposed) as unknown as Array<{
    isDisposedInternal: boolean;
  }>;
  for (const tensor of disposed) tensor.isDisposedInternal = false;
  try {
    return body();
  } finally {
    for (const tensor of disposed) tensor.isDisposedInternal = true;
  }
}

/** Runs `body` with random numbers that `seed` determines: all of tfjs's come from `Math.random`. */
function withRandom<T>(seed: number, body: () => T): T {
  const {random} = Math;
  const generator = createRandom(seed);
  Math.random = () => generator.next();
  try {
    return body();
  } finally {
    Math.random = random;
  }
}

/** Runs `body` and tells of each variable that is about to be assigned to. */
function withAssignments<T>(beforeAssign: (variable: tf.Variable) => void, body: () => T): T {
  const prototype = tf.Variable.prototype;
  const {assign} = prototype;
  prototype.assign = function (this: tf.Variable, value: tf.Tensor): void {
    beforeAssign(this);
    assign.call(this, value);
  };
  try {
    return body();
  } finally {
    prototype.assign = assign;
  }
}
