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
export interface SegmentRun<T> {
  result: T;
  /** Tensors and variables that were made before the segment and read in it. */
  outside: tf.Tensor[];
  /** Variables that the segment assigned to, with the values before, held (BatchNorm's moving averages). */
  assigned: Map<tf.Variable, tf.Tensor>;
  seed: number;
}

/** Runs a segment for the first time, without recording what is in it. */
export function runSegment<T>(recording: Recording, body: () => T): SegmentRun<T> {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const assigned = new Map<tf.Variable, tf.Tensor>();
  const run = recording.observe(() =>
    withAssignments(
      (variable) => {
        if (!assigned.has(variable)) assigned.set(variable, recording.holds.hold(variable));
      },
      () => withRandom(seed, body),
    ),
  );
  return {...run, assigned, seed};
}

/**
 * The gradients of a segment's inputs: runs the segment again, now recorded, with the same random numbers, and goes back.
 * The data of `outside` must be held.
 */
export function segmentGradients(
  body: () => tf.Tensor | tf.Tensor[],
  {outside, assigned, seed}: SegmentRun<unknown>,
  inputs: readonly tf.Tensor[],
  dys: readonly tf.Tensor[],
): InputGradients {
  const gradients: InputGradients = {};
  const recording = new Recording(inputs);
  const later = new Map([...assigned].map(([variable]) => [variable, tf.clone(variable)]));
  for (const [variable, before] of assigned) variable.assign(before);
  try {
    const result = revived(outside, () => withRandom(seed, () => record(recording, body)));
    const ys = Array.isArray(result) ? result : [result];
    const seeds = ys.map((y, i) => ({y, dy: dys[i]!}));
    backpropagate(recording, inputs, seeds, (index, gradient) => {
      gradients[String(inputs[index]!.id)] = () => gradient;
    });
    tf.dispose(ys);
  } finally {
    recording.holds.dispose();
    for (const [variable, value] of later) variable.assign(value);
    tf.dispose([...later.values()]);
  }
  for (const input of inputs) gradients[String(input.id)] ??= () => tf.zerosLike(input);
  return gradients;
}

/** Runs `body` with tensors that a tidy has disposed of, but whose data is held, as if they were alive. */
function revived<T>(tensors: readonly tf.Tensor[], body: () => T): T {
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
