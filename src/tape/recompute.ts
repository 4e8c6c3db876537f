import * as tf from '@tensorflow/tfjs-core';
import {describe, Recording} from './recording';
import {runSegment, segmentGradients} from './segment';

/** Runs a function in some way. */
type Run = <T>(body: () => T) => T;

/** How parts that are marked now will run, in the forward pass and again. */
let running: Run = (body) => body();

/** Runs `body`, and by the same `run` each part of it that is recomputed, also when it runs again in the backward pass. */
export function runningPartsBy<T>(run: Run, body: () => T): T {
  const before = running;
  running = run;
  try {
    return run(body);
  } finally {
    running = before;
  }
}

/**
 * Marks a part of a model's forward pass to be recomputed: nothing inside of it is kept for the backward pass, which runs it
 * again from what it reads (gradient checkpointing, Chen et al. 2016). Where this library's tape does not record, as in inference
 * or under one of tfjs's optimizers (but see {@link leanOptimizer}), it just calls `f`.
 *
 * ```ts
 * const loss = () => head(recomputeGrad(block)(x));
 * ```
 *
 * `f` may read any tensors and variables, even by a closure, and may be random or assign to variables (dropout, BatchNorm): the
 * second run sees the same random numbers, and assignments count once. It must depend on nothing else, and must not `tf.keep`
 * its tensors.
 *
 * @returns A function with the arguments and the result of `f`.
 */
export function recomputeGrad<Inputs extends tf.Tensor[], Result extends tf.Tensor | tf.Tensor[]>(
  f: (...inputs: Inputs) => Result,
): (...inputs: Inputs) => Result {
  return (...inputs) => {
    const run = running;
    const body = (): Result => run(() => f(...inputs));
    const recording = Recording.active;
    // Inside another segment's first run nothing is recorded; its second run calls this again. In a gradient of a gradient the
    // outer recording needs every op.
    return recording?.recordsAlone() ? recordSegment(recording, body) : body();
  };
}

/** Runs `body` and records it as one node. */
function recordSegment<Result extends tf.Tensor | tf.Tensor[]>(
  recording: Recording,
  body: () => Result,
): Result {
  let result!: Result;
  const run = runSegment(recording, () => asArray((result = body())));
  const inputs = run.outside.filter((tensor) => recording.isTracked(tensor));
  const saved = [...run.held, ...run.assigned.values(), ...run.kept];
  if (run.made.length === 0) {
    for (const tensor of saved) recording.holds.release(tensor);
    return result;
  }
  // A variable that something after the segment assigns to: the second run reads what the first has read.
  recording.onAssign.push((variable) => {
    if (run.assigned.has(variable) || !run.outside.includes(variable)) return;
    const before = recording.holds.hold(variable);
    run.assigned.set(variable, before);
    saved.push(before);
  });
  recording.add({
    kernelName: 'recomputed segment',
    inputs: Object.fromEntries(
      inputs.map((input) => [String(input.id), recording.describeInput(input)]),
    ),
    outputs: run.made.map((i) => describe(run.results[i]!)),
    saved,
    gradient: (dys) => segmentGradients(() => asArray(body()), run, inputs, dys),
    reads: new Set(), // each leaf that it has read is an input
  });
  return result;
}

function asArray(tensors: tf.Tensor | tf.Tensor[]): tf.Tensor[] {
  return Array.isArray(tensors) ? tensors : [tensors];
}
