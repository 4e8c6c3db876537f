import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import type {ResolvedBlock} from './blocks';
import {selects, type VariableSelector} from './variable_selector';

/**
 * Turns blocks of a model on and off, and back to what the user had. It flips the `trainable` flag of the weights
 * themselves: `layer.trainable` reaches one level deep only, and recurrent layers ignore it. A compiled model need not be
 * compiled again, for a training step reads the flags. A weight that the user froze is never touched.
 */
export class BlockMask {
  /** The weights that the user left trainable. */
  private readonly weights: readonly LayerVariable[];
  /** Those of them that are on whatever the blocks. */
  private readonly alwaysOn: ReadonlySet<LayerVariable>;

  /**
   * @param alwaysOn `'auto'`: the weights of no block; `false`: none; or those that a selector picks.
   * @throws if the user left no weight trainable.
   */
  constructor(
    model: tfl.LayersModel,
    private readonly blocks: readonly ResolvedBlock[],
    alwaysOn: 'auto' | false | VariableSelector,
  ) {
    this.weights = [...new Set(model.trainableWeights)].filter((weight) => weight.trainable);
    if (this.weights.length === 0) {
      throw new Error(
        'LayerSamplingCallback: no weight of the model is trainable; set layer.trainable = true and compile the model ' +
          'again',
      );
    }
    const inBlocks = new Set(blocks.flatMap(({weights}) => weights));
    this.alwaysOn = new Set(
      this.weights.filter((weight) => {
        if (alwaysOn === false) return false;
        if (alwaysOn === 'auto') return !inBlocks.has(weight);
        return selects(alwaysOn, {name: weight.name, shape: weight.read().shape});
      }),
    );
  }

  /** Whether some weight is on whatever the blocks. */
  get hasAlwaysOn(): boolean {
    return this.alwaysOn.size > 0;
  }

  /** Names of the variables of all blocks. */
  get blockVariables(): Set<string> {
    return new Set(this.blocks.flatMap(({weights}) => weights.map(({name}) => name)));
  }

  /**
   * Makes the weights of the blocks called `active` trainable, and what is always on; freezes the rest.
   *
   * @throws if that leaves nothing to train; nothing was changed then.
   */
  apply(active: readonly string[]): void {
    const on = new Set<LayerVariable>(this.alwaysOn);
    for (const {name, weights} of this.blocks) {
      if (active.includes(name)) weights.forEach((weight) => on.add(weight));
    }
    if (!this.weights.some((weight) => on.has(weight))) {
      throw new Error(
        `LayerSamplingCallback: nothing is left to train: you froze all weights of the chosen blocks ` +
          `[${active.join(', ')}], and alwaysOn picks none; keep something on`,
      );
    }
    for (const weight of this.weights) weight.trainable = on.has(weight);
  }

  /** Makes every weight as trainable as the user left it. */
  restore(): void {
    for (const weight of this.weights) weight.trainable = true;
  }
}
