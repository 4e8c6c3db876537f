/** How many bytes are alive at each moment of a training step, by what they are for. */
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter, type MemoryMeter} from '../../src/memory/meter';
import {Training, type TrainingOptions} from './workload';

export const categories = [
  'weights',
  'optimizer state',
  'saved activations',
  'gradients',
  'the rest',
] as const;

export type Category = (typeof categories)[number];

/** Live bytes of each category after so many buffers were made in the step. */
export type Sample = Record<Category, number> & {made: number};

export interface Timeline {
  samples: Sample[];
  /** How many buffers had been made when the forward pass had ended. */
  forwardEnd: number;
}

/** What code was running when a buffer was made. */
type Origin = 'forward' | 'backward' | 'update';

/** A buffer that was alive in the step. Times are numbers of buffers made; −1: from before the step, Infinity: not freed in it. */
interface Life {
  bytes: number;
  from: number;
  to: number;
  origin: Origin | null;
  /** For a buffer of a forward pass: when that pass, or that repetition of a segment, ended. */
  forwardEnd: number;
}

/**
 * Watches the third step of a training; the first two make the optimizer's state and replace it.
 *
 * A buffer counts as
 * - *weights* or *optimizer state* if it is such before or after the step,
 * - *saved activations* if the forward pass made it, or the repetition of a checkpointed segment, and it outlived that pass,
 * - *gradients* if the backward pass made it: gradients of weights and activations, and what their computation takes,
 * - *the rest*: what comes and goes within the forward pass or an update, and the batch.
 */
export function watchStep(options: TrainingOptions): Timeline {
  const alive = new Map<object, Life>();
  const ended: Life[] = [];
  let made = 0;
  let forward: Life[] = [];
  /** Ends a forward pass, when the engine has left it. */
  const endForward = (): void => {
    for (const life of forward) life.forwardEnd = made;
    forward = [];
  };
  const meter = startMemoryMeter({
    onAllocate(buffer, bytes) {
      const origin = originOfBuffer();
      if (origin !== 'forward') endForward();
      const life = {bytes, from: made++, to: Infinity, origin, forwardEnd: Infinity};
      if (origin === 'forward') forward.push(life);
      alive.set(buffer, life);
    },
    onFree(buffer) {
      const life = alive.get(buffer)!;
      if (life.origin === 'forward' && !isForward()) endForward();
      life.to = made;
      ended.push(life);
      alive.delete(buffer);
    },
  });
  const training = new Training(options);
  for (let step = 0; step < 2; step++) training.stepUnread();

  const lasting = new Map<Life, Category>();
  const noteLasting = (): void => {
    const weights = buffersOf(training, meter);
    for (const [buffer, life] of alive) {
      if (weights.has(buffer)) lasting.set(life, 'weights');
      else if (!training.batch.some((tensor) => meter.bufferOf(tensor) === buffer)) {
        lasting.set(life, 'optimizer state');
      }
    }
  };
  for (const life of alive.values()) Object.assign(life, {from: -1, origin: null});
  noteLasting();
  made = 0;
  ended.length = 0;
  training.stepUnread();
  noteLasting();
  const lives = [...ended, ...alive.values()];
  training.dispose();
  meter.stop();

  const categoryOf = (life: Life): Category => {
    const category = lasting.get(life);
    if (category) return category;
    if (life.origin === 'backward') return 'gradients';
    return life.origin === 'forward' && life.to > life.forwardEnd
      ? 'saved activations'
      : 'the rest';
  };
  const firstForward = lives.filter(({origin}) => origin === 'forward');
  const forwardEnd = Math.min(...firstForward.map((life) => life.forwardEnd));
  return {samples: samplesOf(lives, categoryOf, made), forwardEnd};
}

function buffersOf({model}: Training, meter: MemoryMeter): Set<object | undefined> {
  return new Set(model.weights.map((weight) => meter.bufferOf(weight.read())));
}

/** Whether the engine is in a forward pass, of either tape. */
function isForward(): boolean {
  const {state} = tf.engine() as unknown as {state: {gradientDepth: number}};
  return state.gradientDepth > 0;
}

function originOfBuffer(): Origin {
  if (isForward()) return 'forward';
  // An update may run in the middle of a backward pass: the innermost of the two counts.
  for (const frame of callSites()) {
    const where = `${frame.getFileName()} ${frame.getFunctionName()}`;
    if (/src\/owlore\/optimizer\/|AdamOptimizer/.test(where)) return 'update';
    if (/src\/tape\/backward|backpropagateGradients/.test(where)) return 'backward';
  }
  return 'update';
}

function callSites(): NodeJS.CallSite[] {
  const {prepareStackTrace, stackTraceLimit} = Error;
  Error.stackTraceLimit = 200;
  Error.prepareStackTrace = (_, sites) => sites;
  const {stack} = new Error() as unknown as {stack: NodeJS.CallSite[]};
  Object.assign(Error, {prepareStackTrace, stackTraceLimit});
  return stack;
}

/** Live bytes after each buffer that was made. */
function samplesOf(
  lives: readonly Life[],
  categoryOf: (life: Life) => Category,
  made: number,
): Sample[] {
  const none = Object.fromEntries(categories.map((category) => [category, 0]));
  // What is freed before the next buffer is made was still alive beside the last one.
  const changes = Array.from({length: made + 2}, () => ({...none}) as Record<Category, number>);
  for (const life of lives) {
    const category = categoryOf(life);
    changes[life.from + 1]![category] += life.bytes;
    if (life.to <= made) changes[life.to + 1]![category] -= life.bytes;
  }
  const live = {...none} as Record<Category, number>;
  return changes.slice(0, made + 1).map((change, made) => {
    for (const category of categories) live[category] += change[category];
    return {made, ...live};
  });
}
