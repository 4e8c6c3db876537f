/** Which layers of tfjs-layers draw random numbers in training; seen in 4.22. */
import type * as tfl from '@tensorflow/tfjs-layers';

type Layer = tfl.layers.Layer;

/** How much a layer draws at random: the rate of a dropout, or the deviation of a noise. */
const AMOUNTS = ['rate', 'stddev', 'dropout', 'recurrentDropout'];

/** Where wrappers and recurrent layers keep the layers inside them. */
const PARTS = ['layer', 'forwardLayer', 'backwardLayer', 'cell', 'cells'];

/**
 * Whether a layer, or one that it wraps, draws random numbers in training that no seed determines. A dropout with a seed has the
 * same mask in every step. A layer of one's own is found if it names its members as tfjs does.
 */
export function drawsWithoutSeed(layer: Layer): boolean {
  const members = Object.fromEntries(Object.entries(layer)) as Record<string, unknown>;
  const draws = AMOUNTS.some((name) => typeof members[name] === 'number' && members[name] > 0);
  if (draws && typeof members.seed !== 'number') return true;
  return PARTS.flatMap((name) => (members[name] ?? []) as Layer | Layer[]).some(drawsWithoutSeed);
}
