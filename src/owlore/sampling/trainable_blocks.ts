import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {packedWeight} from '../../model/packed_weight';
import {collectedWeights, variableOf} from '../../tfjs/models';
import type {ResolvedBlock} from '../../model/blocks';
import {selects, unmatched, type VariableSelector} from '../../model/variable_selector';

/** A weight that is turned on and off: one that tfjs hands to the optimizer. */
interface SwitchedWeight {
  weight: LayerVariable;
  variable: tf.Variable;
  /** `weight.trainable` as the user left it; only the user sets it. */
  flag: boolean;
  /** `variable.trainable` as the user left it: whether tfjs trains it. */
  own: boolean;
}

/**
 * Turns blocks of a model on and off, and back to the user's setting. It sets `trainable` of the `tf.Variable`s, which every
 * training step reads, so that no model has to be compiled again. It leaves `trainable` of layers and of their weights alone,
 * because tfjs sorts `model.weights` by it. A weight that the user froze is never turned on.
 */
export class TrainableBlocks {
  /** Names of the blocks that have a weight to train, in the order of the model. */
  readonly names: readonly string[];
  /** tfjs's own list of the weights to train; each `compile` makes a new one. */
  private readonly listed: readonly LayerVariable[] | null;
  private readonly switched: readonly SwitchedWeight[];
  /** The weights that are always on, whichever blocks are. */
  private readonly alwaysOn: ReadonlySet<LayerVariable>;
  /** Names of the variables that would train, and are off. */
  frozenVariables: ReadonlySet<string> = new Set();

  /**
   * @param owner The name at the beginning of messages.
   * @param model The model that is trained, see `trainedModel`.
   * @param toTrain The weights that a training step hands to the optimizer, see `weightsToTrain`.
   * @param alwaysOn `'auto'`: the weights of no block; `false`: none; or those that a selector picks.
   * @throws if tfjs would train no weight.
   */
  constructor(
    private readonly owner: string,
    private readonly model: tfl.LayersModel,
    toTrain: readonly LayerVariable[],
    private readonly blocks: readonly ResolvedBlock[],
    alwaysOn: 'auto' | false | VariableSelector,
  ) {
    this.listed = collectedWeights(model);
    this.switched = [...new Set(toTrain)].map((weight) => {
      const variable = variableOf(weight);
      return {weight, variable, flag: weight.trainable, own: variable.trainable};
    });
    const trained = new Set(this.switched.flatMap(({weight, own}) => (own ? [weight] : [])));
    if (trained.size === 0) {
      throw new Error(
        `${owner}: no weight of the model is trainable: tfjs trains those that were when the model was compiled, and ` +
          "still are; set layer.trainable = true and compile the model again (a GAN's discriminator: see docs/your-model.md)",
      );
    }
    this.names = blocks
      .filter(({weights}) => weights.some((weight) => trained.has(weight)))
      .map(({name}) => name);
    if (alwaysOn !== 'auto' && alwaysOn !== false) this.checkNames(alwaysOn);
    const inBlocks = new Set(blocks.flatMap(({weights}) => weights));
    this.alwaysOn = new Set(
      [...trained].filter((weight) => {
        if (alwaysOn === false) return false;
        if (alwaysOn === 'auto') return !inBlocks.has(weight);
        return selects(alwaysOn, {name: weight.name, shape: weight.shape as number[]});
      }),
    );
  }

  /** Throws if a name picks no weight of the model: then what was meant would never be trained. */
  private checkNames(alwaysOn: VariableSelector): void {
    const weights = this.model.weights.map(({name, shape}) => ({name, shape: shape as number[]}));
    const missing = unmatched(alwaysOn, weights);
    if (missing.length === 0) return;
    throw new Error(
      `${this.owner}: alwaysOn has ${missing.join(', ')}, but no weight or layer of the model is called that. Weights: ` +
        weights.map(({name}) => name).join(', '),
    );
  }

  /** All weights that it turns on and off. */
  get weights(): LayerVariable[] {
    return this.switched.map(({weight}) => weight);
  }

  /** Whether some weight is always on, whichever blocks are. */
  get hasAlwaysOn(): boolean {
    return this.alwaysOn.size > 0;
  }

  /** Names of the variables of all blocks, without those that the user froze. */
  get blockVariables(): Set<string> {
    const inBlocks = new Set(this.blocks.flatMap(({weights}) => weights));
    const trained = this.switched.filter(({weight, own}) => own && inBlocks.has(weight));
    return new Set(trained.map(({weight}) => weight.name));
  }

  /** Whether the model was compiled, or the user froze or unfroze one of its weights, since this object was made. */
  get isOutdated(): boolean {
    return (
      collectedWeights(this.model) !== this.listed ||
      this.switched.some(({weight, flag}) => weight.trainable !== flag)
    );
  }

  /**
   * Makes the weights of the blocks called `active` trainable, and those that are always on; freezes the rest.
   *
   * @throws if that leaves nothing to train; nothing is changed then.
   */
  turnOn(active: readonly string[]): void {
    const on = new Set<LayerVariable>(this.alwaysOn);
    for (const {name, weights} of this.blocks) {
      if (active.includes(name)) weights.forEach((weight) => on.add(weight));
    }
    if (!this.switched.some(({weight, own}) => own && on.has(weight))) {
      throw new Error(
        `${this.owner}: nothing is left to train: no weight of the chosen blocks [${active.join(', ')}] is trainable, and ` +
          'alwaysOn picks none; keep something on',
      );
    }
    const frozen = new Set<string>();
    for (const {weight, variable, own} of this.switched) {
      variable.trainable = own && on.has(weight);
      if (own && !variable.trainable) frozen.add(variable.name);
    }
    this.frozenVariables = frozen;
  }

  /**
   * Packs the weights that are off and unpacks those that are on, where the model keeps frozen weights packed. All that are off are
   * packed first, so that old and new blocks are not in memory together.
   *
   * @param seed Gives a number for the rounding of each weight that can be packed, an integer in [0, 2³² − 1].
   */
  store(seed: () => number): void {
    const switchedOn = this.switched.filter(({variable}) => variable.trainable);
    const on = new Set(switchedOn.map(({weight}) => weight));
    const weights = this.model.weights.flatMap((weight) => {
      const packable = packedWeight(weight);
      return packable ? [{packable, isOn: on.has(weight), seed: seed()}] : [];
    });
    for (const {packable, isOn, seed} of weights) if (!isOn) packable.pack(seed);
    for (const {packable, isOn} of weights) if (isOn) packable.unpack();
  }

  /** Makes every weight as trainable as the user left it, or has made it since. */
  restore(): void {
    for (const {weight, variable, flag, own} of this.switched) {
      variable.trainable = weight.trainable === flag ? own : weight.trainable;
    }
    this.frozenVariables = new Set();
  }
}
