/** What an option needs: a part that a page loads on demand, and a backend that can be read within a step. */
import * as tf from '@tensorflow/tfjs-core';
import {canReadSynchronously} from '../../../kernels/capabilities';
import type {OnDemand} from '../../../common/on_demand';
import {hostSvd} from '../state/basis';
import type {ResolvedOwLoreOptions} from '../options';

type Options = Pick<ResolvedOwLoreOptions, 'basis'>;

/** The parts that a step with these options needs. */
export function neededParts({basis}: Options): Array<OnDemand<unknown>> {
  return basis === 'svd' ? [hostSvd] : [];
}

/** Throws where a step would fail: where the backend cannot be read within it, or a part has not been loaded yet. */
export function checkNeeds(options: Options): void {
  const [part] = neededParts(options);
  if (!part) return;
  if (!canReadSynchronously()) {
    throw new Error(
      `OwLoreOptimizer: basis 'svd' reads tensors back from the device, which the '${tf.getBackend()}' backend cannot do ` +
        "within a step; use basis: 'randomized'",
    );
  }
  if (!part.loaded) {
    throw new Error(
      "OwLoreOptimizer: basis 'svd' needs a part of this library that is not loaded yet; " +
        '`await optimizer.ready()` before the first step',
    );
  }
}
