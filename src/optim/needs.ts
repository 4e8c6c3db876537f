/** What some options need: parts that a page loads on demand, and a backend that can be read within a step. */
import * as tf from '@tensorflow/tfjs-core';
import {canReadSynchronously} from '../kernels/capabilities';
import {hostSvd, variants, type OnDemand} from '../on_demand';
import type {ResolvedOwLoreOptions} from './owlore_options';

/** The option in a message, the part, whether the current backend is read from as it has to be, and what to do if it cannot be. */
type Need = [option: string, part: OnDemand<unknown> | null, isReadable: boolean, wayOut: string];

function needsOf(options: ResolvedOwLoreOptions): Need[] {
  const {basis, update} = options;
  const reads = canReadSynchronously();
  const needs: Array<Need | false> = [
    basis === 'svd' && ["basis 'svd'", hostSvd, reads, "basis: 'randomized'"],
    update !== 'galore' && [`update '${update}'`, variants, true, ''],
  ];
  return needs.filter((need) => need !== false);
}

/** The parts that a step with these options needs. */
export function neededParts(options: ResolvedOwLoreOptions): Array<OnDemand<unknown>> {
  return needsOf(options).flatMap(([, part]) => part ?? []);
}

/** Throws where a step would fail: where the backend cannot be read within it, or a part has not been loaded yet. */
export function checkNeeds(options: ResolvedOwLoreOptions): void {
  for (const [option, part, isReadable, wayOut] of needsOf(options)) {
    if (!isReadable) {
      throw new Error(
        `OwLoreOptimizer: ${option} reads tensors back from the device, which the '${tf.getBackend()}' backend cannot do ` +
          `within a step; use ${wayOut}`,
      );
    }
    if (part && !part.loaded) {
      throw new Error(
        `OwLoreOptimizer: ${option} needs a part of this library that is not loaded yet; ` +
          '`await optimizer.ready()` before the first step',
      );
    }
  }
}
