import * as tf from '@tensorflow/tfjs-core';
import {watchAssignments, withRandom, withRevived, type InputGradients} from '../tfjs/engine';
import {backpropagate} from './backward';
import {record} from './gradients';
import {noteOps, readAgain, runFreeing, type OpSequence} from './op_sequence';
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
  /** Tensors over the data of `outside`, except for variables; to be released. */
  held: tf.Tensor[];
  /**
   * Variables that the segment assigned to (BatchNorm's moving averages), or what came after it, with the values before, held.
   */
  assigned: Map<tf.Variable, tf.Tensor>;
  /** The random numbers that it drew. */
  drawn: readonly number[];
  /** What its ops have kept for the second run ({@link keepForSecondRun}); to be released. */
  kept: readonly tf.Tensor[];
  sequence: OpSequence;
}

/** Runs a segment for the first time, without recording what is in it. */
export function runSegment(recording: Recording, body: () => tf.Tensor[]): SegmentRun {
  const assigned = new Map<tf.Variable, tf.Tensor>();
  const drawn: number[] = [];
  const kept: tf.Tensor[] = [];
  const keep = (tensor: tf.Tensor): number => kept.push(recording.holds.hold(tensor));
  const {
    result: {result, sequence},
    outside,
    held,
    dependent,
  } = recording.observe(() =>
    watchAssignments(
      (variable) => {
        if (!assigned.has(variable)) assigned.set(variable, recording.holds.hold(variable));
      },
      () => noteDraws(drawn, () => withKeeping({keep}, () => noteOps(body))),
    ),
  );
  // A tensor that is only passed through from outside has its own gradient.
  const made = result.flatMap(({id}, i) =>
    dependent.has(id) && result.findIndex((first) => first.id === id) === i ? [i] : [],
  );
  return {results: result, made, outside, held, assigned, drawn, kept, sequence};
}

/**
 * The gradients of a segment's inputs: runs the segment again, now recorded, with the same random numbers, and goes back.
 * The data of `outside` must be held.
 */
export function segmentGradients(
  body: () => tf.Tensor[],
  run: SegmentRun,
  inputs: readonly tf.Tensor[],
  dys: ReadonlyArray<tf.Tensor | null>,
): InputGradients {
  const {made, outside, assigned} = run;
  const gradients: InputGradients = {};
  const later = new Map([...assigned].map(([variable]) => [variable, tf.clone(variable)]));
  try {
    const {recording, results} = runAgain(body, run, inputs);
    try {
      const ys = made.map((index) => results[index]!);
      // A custom gradient may return what it was given.
      tf.dispose(ys.filter((y) => !outside.includes(y)));
      const seeds = ys.flatMap((y, i) => (dys[i] ? [{y, dy: dys[i]}] : []));
      backpropagate(recording, inputs, seeds, (index, gradient) => {
        gradients[String(inputs[index]!.id)] = () => gradient;
      });
    } finally {
      recording.holds.dispose();
    }
  } finally {
    for (const [variable, value] of later) variable.assign(value);
    tf.dispose([...later.values()]);
  }
  for (const {id} of inputs) gradients[String(id)] ??= () => null;
  return gradients;
}

/** Runs a segment from the same start as the first time, recorded. */
function runAgain(
  body: () => tf.Tensor[],
  {outside, assigned, drawn, kept, sequence}: SegmentRun,
  inputs: readonly tf.Tensor[],
): {recording: Recording; results: tf.Tensor[]} {
  const runBy = (run: () => tf.Tensor[]): {recording: Recording; results: tf.Tensor[]} => {
    for (const [variable, before] of assigned) variable.assign(before);
    const recording = new Recording(inputs);
    let next = 0;
    const take = (): tf.Tensor | undefined => kept[next++];
    const again = (): tf.Tensor[] => withKeeping({take}, () => record(recording, run));
    return {recording, results: withRevived(outside, () => withDraws(drawn, again))};
  };
  try {
    return runBy(() => runFreeing(sequence, body));
  } catch (error) {
    if (error !== readAgain) throw error;
    return runBy(body);
  }
}

/** What keeps tensors in the first run of a segment, or gives them out in the second; null outside of segments. */
let keeping: {
  keep?: (tensor: tf.Tensor) => void;
  take?: () => tf.Tensor | undefined;
} | null = null;

/**
 * In the first run of a segment, keeps a tensor for its second run, to which {@link keptInFirstRun} gives it: for one that takes long
 * to compute and little memory. The tensor itself may be disposed of.
 */
export function keepForSecondRun(tensor: tf.Tensor): void {
  keeping?.keep?.(tensor);
}

/**
 * In the second run of a segment, what its first run has kept, in that order. It belongs to the segment. Undefined where nothing
 * was kept, and outside of a second run.
 */
export function keptInFirstRun(): tf.Tensor | undefined {
  return keeping?.take?.();
}

function withKeeping<T>(mine: NonNullable<typeof keeping>, body: () => T): T {
  const outer = keeping;
  keeping = mine;
  try {
    return body();
  } finally {
    keeping = outer;
  }
}

/** What a number that is drawn goes through, in the first and in the second run of a segment; null outside of segments. */
let passDraw: ((draw: () => number) => number) | null = null;

/** A number that `draw` gives; if what runs now runs again in the backward pass, it is the same number then. */
export function drawnOnce(draw: () => number): number {
  return passDraw ? passDraw(draw) : draw();
}

/** Runs `body` and adds the random numbers that it draws to `drawn`. */
function noteDraws<T>(drawn: number[], body: () => T): T {
  return passingDraws((draw) => {
    const number = draw();
    drawn.push(number);
    return number;
  }, body);
}

/** Runs `body` with the random numbers that were drawn before; new ones come after them. */
function withDraws<T>(drawn: readonly number[], body: () => T): T {
  let next = 0;
  return passingDraws((draw) => drawn[next++] ?? draw(), body);
}

/** Runs `body` with each number that it draws, by `Math.random` or {@link drawnOnce}, going through `pass`. */
function passingDraws<T>(pass: (draw: () => number) => number, body: () => T): T {
  const outer = passDraw;
  passDraw = outer ? (draw) => pass(() => outer(draw)) : pass;
  try {
    return withRandom(pass, body);
  } finally {
    passDraw = outer;
  }
}
